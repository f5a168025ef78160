import {
  type DocumentNode,
  type ExecutionResult,
  OperationTypeNode,
  getOperationAST,
} from 'graphql';
import { isAsyncIterable } from 'graphql-yoga';
import type { DirectResults } from '../plugins/direct-results.ts';
import { countStream } from '../plugins/operation-limit.ts';
import type { Subscribe } from '../plugins/shared-results.ts';
import type { AdmittedOperation } from '../access/operation-gate.ts';
import type { OperationRecord } from '../observation/operation-records.ts';
import type { KnownQueriesParts } from './known-queries.ts';
import { type LeavingClient, withSignal } from './operation-context.ts';

/** The client that a subscription sends its results to. */
export interface SubscriptionClient {
  record: OperationRecord;
  header(name: string): string | null;
  leaving: LeavingClient;
}

/**
 * Starts subscriptions whose documents are cached and valid, without the hooks of Yoga: through the
 * same checks, in the same order. What Yoga makes for an operation would be kept for as long as the
 * stream.
 */
export interface KnownSubscriptions {
  /** Whether the operation is one. */
  has(operation: RequestedDocument): boolean;
  /**
   * Null for any other operation, and for callers without a credential. A result instead of a
   * stream has masked errors; those of the stream's results are not masked yet.
   */
  start(
    operation: AdmittedOperation,
    client: SubscriptionClient,
  ): Promise<DirectResults | ExecutionResult> | null;
}

interface RequestedDocument {
  query: string;
  operationName?: string | null | undefined;
}

export type KnownSubscriptionsParts = Pick<
  KnownQueriesParts,
  'schema' | 'caches' | 'createContext' | 'refuseByCost' | 'limit' | 'maskError'
> & { subscribe: Subscribe };

export function createKnownSubscriptions(parts: KnownSubscriptionsParts): KnownSubscriptions {
  const { schema, caches, createContext, refuseByCost, limit, subscribe, maskError } = parts;

  return {
    has: operation => documentOf(operation) !== null,
    start({ admission, params }, { record, header, leaving }) {
      const document = documentOf(params);
      // What callers without a credential may execute depends on the document.
      if (document === null || !('credential' in admission)) return null;
      const { operationName, variables: variableValues } = params;
      const contextValue = createContext({ admission, record, header });
      contextValue.read = withSignal(contextValue.read, leaving);
      const args = { schema, document, operationName, variableValues, contextValue };
      record.parsed(document, operationName);
      const tooCostly = refuseByCost(args);
      const refusal = tooCostly === null ? limit.refuse() : { errors: [tooCostly] };
      if (refusal !== null) return Promise.resolve(refusal);
      return run(() => subscribe(args), record);
    },
  };

  function documentOf({ query, operationName }: RequestedDocument): DocumentNode | null {
    const document = caches.validDocument(query);
    const operation = document && getOperationAST(document, operationName);
    return operation?.operation === OperationTypeNode.SUBSCRIPTION ? document : null;
  }

  async function run(
    open: () => ReturnType<Subscribe>,
    record: OperationRecord,
  ): Promise<DirectResults | ExecutionResult> {
    try {
      const result = await countStream(limit, open, record);
      if (isAsyncIterable(result)) return result as unknown as DirectResults;
      const { errors } = result;
      return errors === undefined ? result : { ...result, errors: errors.map(maskError) };
    } catch (error) {
      return { errors: [maskError(error)] };
    }
  }
}
