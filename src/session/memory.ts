import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import { type Task, isCompleted } from '../task/task.ts';
import type { TaskPage } from '../upstream/endpoints.ts';

/** What one credential was answered, for as long as it may be repeated to it. */
export interface Memory {
  /** Undefined: ask upstream. Null: upstream had no such task. */
  task(id: string): Task | null | undefined;
  page(query: string): TaskPage | undefined;
  /** `askedAt` is when upstream was asked, on the monotonic clock: an answer is as old as its question. */
  keepTask(id: string, task: Task | null, askedAt: number): void;
  keepPage(query: string, page: TaskPage, askedAt: number): void;
  /** A task was written to: nobody is told again what was read before. */
  forget(id: string): void;
}

/** The memory of all credentials, bounded as one, its parts out of each other's reach. */
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
}

// Upstream does not change a finished task any more, but for a PATCH from elsewhere.
const COMPLETED_STALENESS_FACTOR = 60;
const MAX_ENTRIES = 50_000;
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_WRITES = 10_000;

type Kept = { task: Task | null; askedAt: number } | { page: TaskPage; askedAt: number };

export function createMemories(options: MemoriesOptions): Memories {
  const { maxStalenessMs, clock, maxEntries = MAX_ENTRIES, maxBytes = MAX_BYTES } = options;
  const kept = new LRUCache<string, Kept>({
    max: maxEntries,
    maxSize: maxBytes,
    sizeCalculation: bytesOf,
  });
  const writtenAt = new LRUCache<string, number>({ max: MAX_WRITES });
  let lastWrittenAt = -Infinity;

  return {
    of: credentialKey => partition(JSON.stringify(credentialKey)),
    get size() {
      return { entries: kept.size, bytes: kept.calculatedSize };
    },
  };

  function partition(prefix: string): Memory {
    // A quoted prefix ends where its quotes do, so that no two parts can have a key in common.
    const taskKey = (id: string) => `${prefix} task ${id}`;
    const pageKey = (query: string) => `${prefix} page ${query}`;
    return {
      task(id) {
        const entry = kept.get(taskKey(id));
        if (entry === undefined || !('task' in entry)) return undefined;
        const mayBe =
          entry.task && isCompleted(entry.task)
            ? maxStalenessMs * COMPLETED_STALENESS_FACTOR
            : maxStalenessMs;
        return isFresh(entry, mayBe, writtenAt.get(id)) ? entry.task : undefined;
      },
      page(query) {
        const entry = kept.get(pageKey(query));
        if (entry === undefined || !('page' in entry)) return undefined;
        return isFresh(entry, maxStalenessMs, lastWrittenAt) ? entry.page : undefined;
      },
      keepTask(id, task, askedAt) {
        if (maxStalenessMs === 0) return;
        const known = kept.peek(taskKey(id));
        // A slow answer must not take the place of one that was asked for later.
        if (known === undefined || known.askedAt <= askedAt)
          kept.set(taskKey(id), { task, askedAt });
      },
      keepPage(query, page, askedAt) {
        if (maxStalenessMs > 0) kept.set(pageKey(query), { page, askedAt });
      },
      forget(id) {
        lastWrittenAt = clock.monotonic();
        writtenAt.set(id, lastWrittenAt);
      },
    };
  }

  function isFresh({ askedAt }: Kept, mayBeMs: number, changedAt = -Infinity): boolean {
    return askedAt > changedAt && clock.monotonic() - askedAt < mayBeMs;
  }
}

/** About what an entry takes; exact is not needed, bounded is. */
function bytesOf(entry: Kept, key: string): number {
  return 2 * (key.length + JSON.stringify('task' in entry ? entry.task : entry.page).length);
}
