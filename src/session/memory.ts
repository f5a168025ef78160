import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { type Task, isCompleted } from '../task/task.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { UnreadableTask } from '../upstream/wire.ts';

/** What one credential was answered, for as long as it may be repeated to it. */
export interface Memory {
  /** Undefined: ask upstream. Null: upstream had no such task. */
  task(id: string): Task | null | undefined;
  page(query: string): TaskPage | undefined;
  /** `askedAt` is when upstream was asked, on the monotonic clock: an answer is as old as its question. */
  keepTask(id: string, task: Task | null, askedAt: number): void;
  keepPage(query: string, page: TaskPage, askedAt: number): void;
  /** A task was written to: what was read before is not repeated. */
  forget(id: string): void;
  /** The credential is used no more. */
  close(): void;
}

/** The memory of all credentials, bounded as one. No part can reach another. */
export interface Memories {
  of(credentialKey: string): Memory;
  /** What is kept now. */
  readonly size: { entries: number; bytes: number };
}

export interface MemoriesOptions {
  /** How old an answer may be, in milliseconds. 0: nothing is ever repeated. */
  maxStalenessMs: number;
  maxEntries?: number;
  maxBytes?: number;
  clock: Clock;
  /** Called for each question, with whether it could be answered. */
  onAsked?(kind: 'task' | 'list', isHit: boolean): void;
}

// Upstream does not change a finished task any more, unless by a PATCH from elsewhere.
const COMPLETED_STALENESS_FACTOR = 60;
const MAX_ENTRIES = 50_000;
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_WRITES = 10_000;
// A parsed task takes about twice the bytes of its JSON; keys and bookkeeping come on top.
const HEAP_PER_WIRE_BYTE = 2;
const ENTRY_BYTES = 200;

// What is over the bound makes room down to this part of it, so that few additions have to.
const LOW_WATER = 0.98;

type Answer = { task: Task | null; askedAt: number } | { page: TaskPage; askedAt: number };
type Kept = Answer & { bytes: number };
type Part = LRUCache<string, Kept>;

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
      keepTask: (id, task, askedAt) => keep(credentialKey, taskKey(id), { task, askedAt }),
      keepPage: (query, page, askedAt) => keep(credentialKey, pageKey(query), { page, askedAt }),
      forget(id) {
        lastWrittenAt = clock.monotonic();
        writtenAt.set(id, lastWrittenAt);
      },
      close: () => parts.get(credentialKey)?.clear(),
    };

    function freshTask(id: string): Task | null | undefined {
      const entry = find(taskKey(id));
      if (entry === undefined || !('task' in entry)) return undefined;
      const maxAgeMs = isFinal(entry.task)
        ? maxStalenessMs * COMPLETED_STALENESS_FACTOR
        : maxStalenessMs;
      return isFresh(entry, maxAgeMs, writtenAt.get(id)) ? entry.task : undefined;
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
    // A slow answer must not replace one that was asked for later.
    if (known !== undefined && known.askedAt > answer.askedAt) return;
    const bytes = bytesOf(key, answer);
    // It would evict everything else, and then itself.
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
      // Evicted, replaced or cleared: it counts no more.
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

  /** The largest part makes room, so that what one credential reads does not evict what the others did. */
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

  function isFresh({ askedAt }: Answer, maxAgeMs: number, changedAt = -Infinity): boolean {
    return askedAt > changedAt && clock.monotonic() - askedAt < maxAgeMs;
  }
}

/** Whether upstream will write to it no more: the date and the status of an end are written one after the other. */
function isFinal(task: Task | null): boolean {
  return task !== null && isCompleted(task) && task.completed !== null;
}

/** About what an answer takes in memory; it need not be exact, but bounded. */
function bytesOf(key: string, answer: Answer): number {
  const rows = 'page' in answer ? answer.page.rows : [answer.task];
  const wireBytes = rows.map(row =>
    row === null || row instanceof UnreadableTask ? 0 : row.wireBytes,
  );
  return wireBytes.reduce(
    (sum, bytes) => sum + HEAP_PER_WIRE_BYTE * bytes + ENTRY_BYTES,
    2 * key.length + ENTRY_BYTES,
  );
}
