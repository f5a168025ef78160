import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { refusal } from './refusal.ts';
import type { OperationParams } from './operation-params.ts';

/** Documents that clients name instead of sending them. */
export interface PersistedDocuments {
  /** The text to execute. Throws a refusal where there is none, or where only listed ones are executed. */
  resolve(params: OperationParams, options: { mayStore: boolean }): string;
}

export interface PersistedDocumentsOptions {
  /** Documents by id, from the operator; null where there is no manifest. */
  manifest: ReadonlyMap<string, string> | null;
  /** Whether no other document is executed. */
  isManifestOnly: boolean;
  /** Whether a document is kept that a client sends with its hash. */
  isAutomatic: boolean;
}

// In characters, of all documents that clients have registered with this instance.
const MAX_STORED_LENGTH = 4_194_304;

export function createPersistedDocuments({
  manifest,
  isManifestOnly,
  isAutomatic,
}: PersistedDocumentsOptions): PersistedDocuments {
  const listed = new Set(manifest?.values());
  const stored = new LRUCache<string, string>({
    maxSize: MAX_STORED_LENGTH,
    sizeCalculation: (text, id) => text.length + id.length,
  });

  return {
    resolve(params, { mayStore }) {
      const hash = hashOf(params);
      const id = hash ?? params.documentId;
      const { query = '' } = params;
      if (query !== '') {
        if (isManifestOnly && !listed.has(query)) throw notListed();
        if (hash !== undefined && isAutomatic && !isManifestOnly) {
          if (sha256(query) !== hash)
            throw refusal('BAD_USER_INPUT', '`sha256Hash` is not the SHA-256 of `query`.');
          if (mayStore) stored.set(hash, query);
        }
        return query;
      }
      if (id === undefined) {
        if (isManifestOnly) throw notListed();
        throw refusal('BAD_USER_INPUT', '`query` is missing: it is the text of the document.');
      }
      const known =
        manifest?.get(id) ?? manifest?.get(withoutScheme(id)) ?? stored.get(withoutScheme(id));
      if (known !== undefined) return known;
      if (isManifestOnly) throw notListed();
      // Clients look for these messages, and then send the text.
      if (isAutomatic || manifest !== null)
        throw refusal('PERSISTED_QUERY_NOT_FOUND', 'PersistedQueryNotFound', { status: 200 });
      throw refusal('PERSISTED_QUERY_NOT_SUPPORTED', 'PersistedQueryNotSupported', { status: 200 });
    },
  };
}

function notListed() {
  return refusal(
    'FORBIDDEN',
    'Only the documents of the persisted documents manifest are executed.',
  );
}

function hashOf({ extensions }: OperationParams): string | undefined {
  const persisted = extensions?.['persistedQuery'];
  if (typeof persisted !== 'object' || persisted === null) return undefined;
  const { sha256Hash } = persisted as { sha256Hash?: unknown };
  return typeof sha256Hash === 'string' ? sha256Hash.toLowerCase() : undefined;
}

function withoutScheme(id: string): string {
  return id.replace(/^sha256:/, '');
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
