import {
  type ExecutionResult,
  type GraphQLSchema,
  OperationTypeNode,
  getOperationAST,
} from 'graphql';
import type { ExecutePlanned } from '../../graphql/execution/execute.ts';
import type { AdmittedOperation } from '../access/operation-gate.ts';
import type { MaskError } from '../access/mask-error.ts';
import type { OperationRecord } from '../observation/operation-records.ts';
import { type CreateOperationContext, withSignal } from './operation-context.ts';
import type { DocumentCaches } from '../plugins/documents.ts';
import { withOmitted } from '../plugins/omitted-rows.ts';
import type { RefuseByCost } from '../plugins/operation-cost.ts';
import type { OperationLimit } from '../plugins/operation-limit.ts';
import type { LimitTime, OperationEnd } from '../plugins/operation-timeout.ts';

/** The client that waits for the result of a query. */
export interface QueryClient {
  record: OperationRecord;
  header(name: string): string | null;
  readonly hasLeft: boolean;
  /** Calls it when the client disconnects before the result is sent. */
  onLeave(leave: () => void): void;
}

/**
 * Executes a query whose document is cached and valid, without the hooks of Yoga: through the same
 * checks, in the same order. Null if it is not, or the query cannot be planned; Yoga executes
 * those. Rejects if the client leaves.
 */
export type RunKnownQuery = (
  operation: AdmittedOperation,
  client: QueryClient,
) => Promise<ExecutionResult> | null;

export interface KnownQueriesParts {
  schema: GraphQLSchema;
  caches: Pick<DocumentCaches, 'validDocument'>;
  createContext: CreateOperationContext;
  refuseByCost: RefuseByCost;
  limit: OperationLimit;
  limitTime: LimitTime;
  executePlanned: ExecutePlanned;
  maskError: MaskError;
}

export function createRunKnownQuery(parts: KnownQueriesParts): RunKnownQuery {
  const { schema, caches, createContext, refuseByCost, limit, limitTime } = parts;
  const { executePlanned, maskError } = parts;

  return ({ admission, params }, client) => {
    // What callers without a credential may execute depends on the document.
    if (!('credential' in admission)) return null;
    const { query, operationName, variables: variableValues } = params;
    const document = caches.validDocument(query);
    const operation = document && getOperationAST(document, operationName);
    if (document === null || operation?.operation !== OperationTypeNode.QUERY) return null;

    const { record, header } = client;
    const contextValue = createContext({ record, header, admission });
    const args = { schema, document, operationName, variableValues, contextValue };
    const tooCostly = refuseByCost(args);
    const refusal = tooCostly === null ? limit.refuse() : { errors: [tooCostly] };
    if (refusal !== null) {
      client.record.parsed(document, operationName);
      return Promise.resolve(refusal);
    }

    let end: OperationEnd | null = null;
    contextValue.read = withSignal(contextValue.read, {
      signal() {
        if (end === null) {
          end = limitTime();
          const { signal } = end;
          client.onLeave(() => signal.abort(leftReason()));
        }
        return end.signal;
      },
    });
    const signal = {
      throwIfAborted() {
        if (client.hasLeft) throw leftReason();
      },
    };
    const result = executePlanned({ ...args, signal });
    if (result === null) return null;
    client.record.parsed(document, operationName);
    return finish(result);

    async function finish(pending: ReturnType<ExecutePlanned> & object): Promise<ExecutionResult> {
      try {
        const complete = withOmitted(await limit.count(() => pending), contextValue);
        const { errors } = complete;
        return errors === undefined ? complete : { ...complete, errors: errors.map(maskError) };
      } finally {
        end?.release();
      }
    }
  };
}

function leftReason(): DOMException {
  return new DOMException('The client has disconnected.', 'AbortError');
}
