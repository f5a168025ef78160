import { createHash } from 'node:crypto';
import { type DocumentNode, type OperationDefinitionNode, getOperationAST } from 'graphql';
import type { OperationIdentity } from '../../usage.ts';

const MAX_NAME_LENGTH = 60;
/** Of an operation that is not parsed yet. */
export const UNKNOWN: OperationIdentity = { type: 'unknown', name: null, hash: null };

export type Identify = (
  document: DocumentNode,
  operationName: string | null | undefined,
) => OperationIdentity;

export function createIdentify(): Identify {
  /**
   * By operation, or by document if it has no such operation. Parsed documents are kept, so that
   * each is hashed once.
   */
  const known = new WeakMap<DocumentNode | OperationDefinitionNode, OperationIdentity>();

  return (document, operationName) => {
    const operation = getOperationAST(document, operationName);
    const key = operation ?? document;
    const before = known.get(key);
    if (before !== undefined) return before;
    const identity = {
      type: operation?.operation ?? UNKNOWN.type,
      name: operation?.name?.value.slice(0, MAX_NAME_LENGTH) ?? null,
      hash: hashOf(document),
    };
    known.set(key, identity);
    return identity;
  };
}

function hashOf({ loc }: DocumentNode): string | null {
  if (loc === undefined) return null;
  return createHash('sha256').update(loc.source.body).digest('hex').slice(0, 16);
}
