import { createHash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { refusal } from './refusal.ts';
import type { OperationParams } from './operation-params.ts';

/** Documents that clients name by id instead of sending the text. */
export interface PersistedDocuments {
  /**
   * The text to execute. Throws a refusal if there is none, or if only documents of the manifest
   * are allowed.
   */
  resolve(params: OperationParams, options: { mayStore: boolean }): string;
}

export interface PersistedDocumentsOptions {
  /** The operator's documents by id; null if there is no manifest. */
  manifest: ReadonlyMap<string, string> | null;
  /** Whether only documents of the manifest are executed. */
  isManifestOnly: boolean;
  /** Whether clients may register documents (automatic persisted queries). */
  isAutomatic: boolean;
}

// In characters, over all documents that clients have registered with this instance.
const MAX_STORED_LENGTH = 4_194_304;

/**
 * `own` are the gateway's own documents, executed besides the manifest's. Registered documents are
 * evicted by least recent use.
 */
export function createPersistedDocuments(
  { manifest, isManifestOnly, isAutomatic }: PersistedDocumentsOptions,
  own: readonly string[],
): PersistedDocuments {
  const listed = new Set([...(manifest?.values() ?? []), ...own]);
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
        throw refusal(
          'BAD_USER_INPUT',
          '`query` is missing: it must hold the text of the document.',
        );
      }
      const known =
        manifest?.get(id) ?? manifest?.get(withoutScheme(id)) ?? stored.get(withoutScheme(id));
      if (known !== undefined) return known;
      if (isManifestOnly) throw notListed();
      // Clients match these messages and then send the text.
      if (isAutomatic || manifest !== null)
        throw refusal('PERSISTED_QUERY_NOT_FOUND', 'PersistedQueryNotFound', { status: 200 });
      throw refusal('PERSISTED_QUERY_NOT_SUPPORTED', 'PersistedQueryNotSupported', { status: 200 });
    },
  };
}

function notListed() {
  return refusal('FORBIDDEN', 'Only documents of the persisted documents manifest are executed.');
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
