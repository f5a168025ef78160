import { OperationTypeNode } from 'graphql';
import type { KeptResponse } from '../../session/memory-entry.ts';
import type { Sessions } from '../../session/sessions.ts';
import type { Admission } from '../access/operation-gate.ts';
import type { OperationRecord } from '../observation/operation-records.ts';

/**
 * The operation of a request, whose response may be kept for the same operation of the same
 * credential.
 */
export interface RequestedOperation {
  admission: Admission;
  /** The operation as JSON, as it was sent. */
  body: string;
  /** Whether the client asks for an answer that does not come from memory. */
  isFresh: boolean;
}

/**
 * Responses that may be sent again. A response is kept if it has no errors and all its parts come
 * from memory or have just been read. It is sent again for as long as each of its parts could be
 * served from memory.
 */
export interface KeptResponses {
  find(operation: RequestedOperation): KeptResponse | undefined;
  /** Returns the response, which must have no errors. It is kept if it may be. */
  keep(operation: RequestedOperation, json: string, record: OperationRecord): KeptResponse;
}

const QUERY: string = OperationTypeNode.QUERY;

export function createKeptResponses(sessions: Pick<Sessions, 'find'>): KeptResponses {
  const memoryOf = ({ admission }: RequestedOperation) =>
    'credential' in admission ? sessions.find(admission.credential.key)?.responses : undefined;
  return {
    find: operation =>
      operation.isFresh ? undefined : memoryOf(operation)?.response(operation.body),
    keep(operation, json, { identity, usage }) {
      const response: KeptResponse = { json, operation: identity, compressed: null };
      if (identity.type === QUERY)
        memoryOf(operation)?.keepResponse(operation.body, response, usage);
      return response;
    },
  };
}
