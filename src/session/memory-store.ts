import { LRUCache } from 'lru-cache';
import { type Answer, bytesOf } from './memory-entry.ts';

/** What is kept for one credential. */
export interface MemoryPart {
  find(key: string): Answer | undefined;
  clear(): void;
  /** When a task was last found to have changed, on the monotonic clock. */
  changedAt: number;
}

/** Keeps answers by credential, within one bound on their total number and estimated size. */
export interface MemoryStore {
  /** Undefined if nothing is kept for the credential. */
  partOf(credentialKey: string): MemoryPart | undefined;
  /** Does not replace the answer to a later request. */
  keep(credentialKey: string, key: string, answer: Answer): void;
  /** The number of entries now, and their estimated size. */
  readonly size: { entries: number; bytes: number };
}

export interface MemoryStoreOptions {
  maxEntries: number;
  maxBytes: number;
}

// When the bound is exceeded, entries are evicted down to this share of it, so that evictions are
// rare.
const LOW_WATER = 0.98;

type Kept = Answer & { bytes: number };

interface Part extends MemoryPart {
  entries: LRUCache<string, Kept>;
}

export function createMemoryStore({ maxEntries, maxBytes }: MemoryStoreOptions): MemoryStore {
  const parts = new Map<string, Part>();
  const size = { entries: 0, bytes: 0 };

  return {
    partOf: credentialKey => parts.get(credentialKey),
    keep(credentialKey, key, answer) {
      const bytes = bytesOf(key, answer);
      // It would evict everything else and then itself.
      if (bytes > maxBytes) return;
      const { entries } = parts.get(credentialKey) ?? openPart(credentialKey);
      const known = entries.peek(key);
      // A slow response must not replace the response to a later request.
      if (known !== undefined && known.requestedAt > answer.requestedAt) return;
      entries.set(key, { ...answer, bytes });
      size.entries++;
      size.bytes += bytes;
      if (isOver(1)) while (isOver(LOW_WATER)) shrinkLargest();
    },
    get size() {
      return { ...size };
    },
  };

  function openPart(credentialKey: string): Part {
    const entries: Part['entries'] = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ bytes }) => bytes,
      // Called when an entry is evicted, replaced or cleared.
      dispose({ bytes }) {
        size.entries--;
        size.bytes -= bytes;
      },
      disposeAfter() {
        if (entries.size === 0) parts.delete(credentialKey);
      },
    });
    const part: Part = {
      entries,
      find: key => entries.get(key),
      clear: () => entries.clear(),
      changedAt: -Infinity,
    };
    parts.set(credentialKey, part);
    return part;
  }

  /** Evicts from the largest part, so that one credential cannot evict the entries of the others. */
  function shrinkLargest(): void {
    const part = [...parts.values()]
      .map(({ entries }) => entries)
      .reduce((one, other) => (other.calculatedSize > one.calculatedSize ? other : one));
    const half = part.calculatedSize / 2;
    while (isOver(LOW_WATER) && part.calculatedSize > half) part.pop();
  }

  function isOver(share: number): boolean {
    return size.entries > maxEntries * share || size.bytes > maxBytes * share;
  }
}
