import { type ExecutionResult, OperationTypeNode, getOperationAST } from 'graphql';
import { isAsyncIterable } from 'graphql-yoga';
import type { DirectResults } from '../plugins/direct-results.ts';
import { countStream } from '../plugins/operation-limit.ts';
import type { Subscribe } from '../plugins/shared-results.ts';
import type { AdmittedOperation } from '../access/operation-gate.ts';
import type { OperationRecord } from '../observation/operation-records.ts';
import type { KnownQueriesParts } from './known-queries.ts';
import { withSignal } from './operation-context.ts';

/** The client that a subscription sends its results to. */
export interface SubscriptionClient {
  record: OperationRecord;
  header(name: string): string | null;
  /** Aborts when the client disconnects. */
  signal(): AbortSignal;
}

/**
 * Starts a subscription whose document is cached and valid, without the hooks of Yoga: through the same checks, in the
 * same order. What Yoga makes for an operation would be kept for as long as the stream. Null for any other operation.
 * A result instead of a stream has masked errors; those of the stream's results are not masked yet.
 */
export type RunKnownSubscription = (
  operation: AdmittedOperation,
  client: SubscriptionClient,
) => Promise<DirectResults | ExecutionResult> | null;

export type KnownSubscriptionsParts = Pick<
  KnownQueriesParts,
  'schema' | 'caches' | 'createContext' | 'refuseByCost' | 'limit' | 'maskError'
> & { subscribe: Subscribe };

export function createRunKnownSubscription(parts: KnownSubscriptionsParts): RunKnownSubscription {
  const { schema, caches, createContext, refuseByCost, limit, subscribe, maskError } = parts;

  return ({ admission, params }, { record, header, signal }) => {
    // What callers without a credential may execute depends on the document.
    if (!('credential' in admission)) return null;
    const { query, operationName, variables: variableValues } = params;
    const document = caches.validDocument(query);
    const operation = document && getOperationAST(document, operationName);
    if (document === null || operation?.operation !== OperationTypeNode.SUBSCRIPTION) return null;

    const contextValue = createContext({ admission, record, header });
    contextValue.read = withSignal(contextValue.read, signal);
    const args = { schema, document, operationName, variableValues, contextValue };
    record.parsed(document, operationName);
    const tooCostly = refuseByCost(args);
    const refusal = tooCostly === null ? limit.refuse() : { errors: [tooCostly] };
    if (refusal !== null) return Promise.resolve(refusal);
    return start();

    async function start(): Promise<DirectResults | ExecutionResult> {
      const result = await countStream(limit, () => subscribe(args), record);
      if (isAsyncIterable(result)) return result as unknown as DirectResults;
      const { errors } = result as ExecutionResult;
      return errors === undefined ? result : { ...result, errors: errors.map(maskError) };
    }
  };
}
