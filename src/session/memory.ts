import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { AccountAggregation } from '../task/account-aggregation.ts';
import { type Task, isCompleted } from '../task/task.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { UnreadableTask } from '../upstream/wire.ts';

/** A cache of what upstream answered to one credential. */
export interface Memory {
  /** Undefined: not cached. Null: upstream had no such task. */
  task(id: string): Task | null | undefined;
  page(query: string): TaskPage | undefined;
  /** By the id of the task, with the same meanings as `task`. */
  aggregation(taskId: string): AccountAggregation | null | undefined;
  /**
   * `requestedAt` is when the request was sent, on the monotonic clock. The age of an entry counts from
   * there.
   */
  keepTask(id: string, task: Task | null, requestedAt: number): void;
  keepPage(query: string, page: TaskPage, requestedAt: number): void;
  /** `isFinal`: upstream will not change its answer. The entry is kept as long as a finished task. */
  keepAggregation(
    taskId: string,
    aggregation: AccountAggregation | null,
    requestedAt: number,
    isFinal: boolean,
  ): void;
  /** Call after a write: entries that were requested before it are no longer served. */
  invalidate(id: string): void;
  /** Removes all entries of the credential. */
  close(): void;
}

/**
 * The memories of all credentials, with one bound on their total size. A memory never serves another
 * credential.
 */
export interface Memories {
  of(credentialKey: string): Memory;
  /** The number of entries now, and their estimated size. */
  readonly size: { entries: number; bytes: number };
}

export interface MemoriesOptions {
  /** The maximum age of an entry, in milliseconds. 0 disables the cache. */
  maxStalenessMs: number;
  maxEntries?: number;
  maxBytes?: number;
  clock: Clock;
  /** Called for each question, with whether it could be answered. */
  onAsked?(kind: 'task' | 'list' | 'aggregation', isHit: boolean): void;
}

// Upstream does not change a completed task, except by a PATCH from another client.
const COMPLETED_STALENESS_FACTOR = 60;
const MAX_ENTRIES = 50_000;
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_WRITES = 10_000;
// A parsed task takes about twice the bytes of its JSON, plus keys and bookkeeping.
const HEAP_PER_WIRE_BYTE = 2;
const ENTRY_BYTES = 200;

// When the bound is exceeded, entries are evicted down to this share of it, so that evictions are rare.
const LOW_WATER = 0.98;

type Answer = { requestedAt: number } & (
  | { task: Task | null }
  | { page: TaskPage }
  | { aggregation: AccountAggregation | null; isFinal: boolean }
);
type Kept = Answer & { bytes: number };
type Part = LRUCache<string, Kept>;

/** The bounds default to 50,000 entries and 64 MB. */
export function createMemories(options: MemoriesOptions): Memories {
  const { maxStalenessMs, clock, onAsked } = options;
  const { maxEntries = MAX_ENTRIES, maxBytes = MAX_BYTES } = options;
  const parts = new Map<string, Part>();
  const writtenAt = new LRUCache<string, number>({ max: MAX_WRITES });
  const size = { entries: 0, bytes: 0 };
  let lastWrittenAt = -Infinity;

  return {
    of: memoryOf,
    get size() {
      return { ...size };
    },
  };

  function memoryOf(credentialKey: string): Memory {
    const taskKey = (id: string) => `task ${id}`;
    const pageKey = (query: string) => `page ${query}`;
    const aggregationKey = (taskId: string) => `aggregation ${taskId}`;
    const maxAgeMs = (final: boolean) =>
      final ? maxStalenessMs * COMPLETED_STALENESS_FACTOR : maxStalenessMs;
    const find = (key: string) => parts.get(credentialKey)?.get(key);
    return {
      task(id) {
        const task = freshTask(id);
        onAsked?.('task', task !== undefined);
        return task;
      },
      page(query) {
        const page = freshPage(query);
        onAsked?.('list', page !== undefined);
        return page;
      },
      aggregation(taskId) {
        const aggregation = freshAggregation(taskId);
        onAsked?.('aggregation', aggregation !== undefined);
        return aggregation;
      },
      keepTask: (id, task, requestedAt) => keep(credentialKey, taskKey(id), { task, requestedAt }),
      keepPage: (query, page, requestedAt) =>
        keep(credentialKey, pageKey(query), { page, requestedAt }),
      keepAggregation: (taskId, aggregation, requestedAt, final) =>
        keep(credentialKey, aggregationKey(taskId), { aggregation, isFinal: final, requestedAt }),
      invalidate(id) {
        lastWrittenAt = clock.monotonic();
        writtenAt.set(id, lastWrittenAt);
      },
      close: () => parts.get(credentialKey)?.clear(),
    };

    function freshTask(id: string): Task | null | undefined {
      const entry = find(taskKey(id));
      if (entry === undefined || !('task' in entry)) return undefined;
      const isKept = isFresh(entry, maxAgeMs(isFinal(entry.task)), writtenAt.get(id));
      return isKept ? entry.task : undefined;
    }

    function freshAggregation(taskId: string): AccountAggregation | null | undefined {
      const entry = find(aggregationKey(taskId));
      if (entry === undefined || !('aggregation' in entry)) return undefined;
      const isKept = isFresh(entry, maxAgeMs(entry.isFinal), writtenAt.get(taskId));
      return isKept ? entry.aggregation : undefined;
    }

    function freshPage(query: string): TaskPage | undefined {
      const entry = find(pageKey(query));
      if (entry === undefined || !('page' in entry)) return undefined;
      return isFresh(entry, maxStalenessMs, lastWrittenAt) ? entry.page : undefined;
    }
  }

  function keep(credentialKey: string, key: string, answer: Answer): void {
    if (maxStalenessMs === 0) return;
    const part = parts.get(credentialKey) ?? openPart(credentialKey);
    const known = part.peek(key);
    // A slow response must not replace the response to a later request.
    if (known !== undefined && known.requestedAt > answer.requestedAt) return;
    const bytes = bytesOf(key, answer);
    // It would evict everything else and then itself.
    if (bytes > maxBytes) return;
    part.set(key, { ...answer, bytes });
    size.entries++;
    size.bytes += bytes;
    if (isOver(1)) while (isOver(LOW_WATER)) shrinkLargest();
  }

  function openPart(credentialKey: string): Part {
    const part: Part = new LRUCache({
      maxSize: maxBytes,
      sizeCalculation: ({ bytes }) => bytes,
      // Called when an entry is evicted, replaced or cleared.
      dispose({ bytes }) {
        size.entries--;
        size.bytes -= bytes;
      },
      disposeAfter() {
        if (part.size === 0) parts.delete(credentialKey);
      },
    });
    parts.set(credentialKey, part);
    return part;
  }

  /** Evicts from the largest part, so that one credential cannot evict the entries of the others. */
  function shrinkLargest(): void {
    const part = [...parts.values()].reduce((one, other) =>
      other.calculatedSize > one.calculatedSize ? other : one,
    );
    const half = part.calculatedSize / 2;
    while (isOver(LOW_WATER) && part.calculatedSize > half) part.pop();
  }

  function isOver(share: number): boolean {
    return size.entries > maxEntries * share || size.bytes > maxBytes * share;
  }

  function isFresh({ requestedAt }: Answer, maxAgeMs: number, changedAt = -Infinity): boolean {
    return requestedAt > changedAt && clock.monotonic() - requestedAt < maxAgeMs;
  }
}

/**
 * Whether upstream has finished writing to a task. It writes the completion status and the date
 * separately.
 */
function isFinal(task: Task | null): boolean {
  return task !== null && isCompleted(task) && task.completed !== null;
}

/** The estimated memory use of an entry, in bytes. */
function bytesOf(key: string, answer: Answer): number {
  if ('aggregation' in answer) return 2 * key.length + 2 * ENTRY_BYTES;
  const rows = 'page' in answer ? answer.page.rows : [answer.task];
  const wireBytes = rows.map(row =>
    row === null || row instanceof UnreadableTask ? 0 : row.wireBytes,
  );
  return wireBytes.reduce(
    (sum, bytes) => sum + HEAP_PER_WIRE_BYTE * bytes + ENTRY_BYTES,
    2 * key.length + ENTRY_BYTES,
  );
}
