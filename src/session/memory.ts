import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { AccountAggregation } from '../task/account-aggregation.ts';
import { changeOf } from '../task/change.ts';
import { type Task, isCompleted } from '../task/task.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import type { OperationUsage } from '../usage.ts';
import type { Answer, KeptResponse } from './memory-entry.ts';
import { createMemoryStore } from './memory-store.ts';

type Usage = Pick<OperationUsage, 'readAt' | 'freshUntil'>;
type Usages = readonly Pick<OperationUsage, 'requested' | 'received'>[];

/** A cache of what upstream answered to one credential. */
export interface Memory {
  /**
   * Undefined: not cached. Null: upstream had no such task. Notes the age of the answer in
   * `usages`.
   */
  task(id: string, usages?: Usages): Task | null | undefined;
  /**
   * The first `limit` rows from an offset of a list; if `isCounted`, with the length that the list
   * had at that moment. `list` identifies the list, its order and the offset.
   */
  page(list: string, limit: number, isCounted: boolean, usages?: Usages): TaskPage | undefined;
  /** The length of a list. Null: upstream does not count it. */
  count(list: string, usages?: Usages): number | null | undefined;
  /** The response to an operation, all parts of which may still be served. */
  response(operation: string): KeptResponse | undefined;
  /**
   * Whether something was written, or a task was found to have changed, since a request that was
   * sent at this moment of the monotonic clock.
   */
  hasChangedSince(requestedAt: number): boolean;
  /** By the id of the task, with the same meanings as `task`. */
  aggregation(taskId: string): AccountAggregation | null | undefined;
  /**
   * `requestedAt` is when the request was sent, on the monotonic clock. The age of an entry counts
   * from there.
   */
  keepTask(id: string, task: Task | null, requestedAt: number): void;
  /**
   * `limit` is the number of rows that were requested; `isCounted`, whether the length of the list
   * was.
   */
  keepPage(
    list: string,
    limit: number,
    isCounted: boolean,
    page: TaskPage,
    requestedAt: number,
  ): void;
  keepCount(list: string, count: number | null, requestedAt: number): void;
  /** `usage` says how old the parts of the response are. */
  keepResponse(operation: string, response: KeptResponse, usage: Usage): void;
  /** Notes in `usages` the age of an answer that was requested at this moment. */
  noteAge(usages: Usages, requestedAt: number): void;
  /**
   * `isFinal`: upstream will not change its answer. The entry is kept as long as a finished task.
   */
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
 * The memories of all credentials, with one bound on their total size. A memory never serves
 * another credential.
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
  onAsked?(kind: 'task' | 'list' | 'aggregation' | 'response', isHit: boolean): void;
}

// Upstream does not change a completed task, except by a PATCH from another client.
const COMPLETED_STALENESS_FACTOR = 60;
const MAX_ENTRIES = 50_000;
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_WRITES = 10_000;

/** The bounds default to 50,000 entries and 64 MB. */
export function createMemories(options: MemoriesOptions): Memories {
  const { maxStalenessMs, clock, onAsked } = options;
  const { maxEntries = MAX_ENTRIES, maxBytes = MAX_BYTES } = options;
  const store = createMemoryStore({ maxEntries, maxBytes });
  const writtenAt = new LRUCache<string, number>({ max: MAX_WRITES });
  let lastWrittenAt = -Infinity;

  return {
    of: memoryOf,
    get size() {
      return store.size;
    },
  };

  function memoryOf(credentialKey: string): Memory {
    const taskKey = (id: string) => `task ${id}`;
    const pageKey = (list: string) => `page ${list}`;
    const countKey = (list: string) => `count ${list}`;
    const responseKey = (operation: string) => `response ${operation}`;
    const aggregationKey = (taskId: string) => `aggregation ${taskId}`;
    const maxAgeMs = (final: boolean) =>
      final ? maxStalenessMs * COMPLETED_STALENESS_FACTOR : maxStalenessMs;
    const find = (key: string) => store.partOf(credentialKey)?.find(key);
    const keep = (key: string, answer: Answer) => {
      if (maxStalenessMs > 0) store.keep(credentialKey, key, answer);
    };
    return {
      task(id, usages = []) {
        const task = freshTask(id, usages);
        onAsked?.('task', task !== undefined);
        return task;
      },
      page(list, limit, isCounted, usages = []) {
        const page = freshPage(list, limit, isCounted, usages);
        onAsked?.('list', page !== undefined);
        return page;
      },
      count(list, usages = []) {
        const count = freshCount(list, usages);
        onAsked?.('list', count !== undefined);
        return count;
      },
      response(operation) {
        const response = freshResponse(operation);
        onAsked?.('response', response !== undefined);
        return response;
      },
      hasChangedSince,
      aggregation(taskId) {
        const aggregation = freshAggregation(taskId);
        onAsked?.('aggregation', aggregation !== undefined);
        return aggregation;
      },
      keepTask(id, task, requestedAt) {
        const key = taskKey(id);
        const part = store.partOf(credentialKey);
        const known = part?.find(key);
        if (part && known && 'task' in known && known.requestedAt < requestedAt) {
          // A poll finds most tasks as they were.
          if (known.task === task) {
            known.requestedAt = requestedAt;
            return;
          }
          if (isChanged(known.task, task)) part.changedAt = requestedAt;
        }
        keep(key, { task, requestedAt });
      },
      keepPage: (list, limit, isCounted, page, requestedAt) =>
        keep(pageKey(list), { page, limit, isCounted, requestedAt }),
      keepCount: (list, count, requestedAt) => keep(countKey(list), { count, requestedAt }),
      keepResponse(operation, response, { readAt: requestedAt, freshUntil }) {
        // Its parts are from memory, or upstream has been asked for none.
        if (clock.monotonic() >= freshUntil || requestedAt === Infinity) return;
        keep(responseKey(operation), { response, freshUntil, requestedAt });
      },
      noteAge: (usages, requestedAt) => noteRequest(usages, requestedAt, maxStalenessMs),
      keepAggregation: (taskId, aggregation, requestedAt, final) =>
        keep(aggregationKey(taskId), { aggregation, isFinal: final, requestedAt }),
      invalidate(id) {
        lastWrittenAt = clock.monotonic();
        writtenAt.set(id, lastWrittenAt);
      },
      close: () => store.partOf(credentialKey)?.clear(),
    };

    function freshTask(id: string, usages: Usages): Task | null | undefined {
      const entry = find(taskKey(id));
      if (entry === undefined || !('task' in entry)) return undefined;
      const maxMs = maxAgeMs(isFinal(entry.task));
      if (!isFresh(entry, maxMs, writtenAt.get(id))) return undefined;
      noteAnswer(usages, entry.requestedAt, maxMs);
      return entry.task;
    }

    function freshAggregation(taskId: string): AccountAggregation | null | undefined {
      const entry = find(aggregationKey(taskId));
      if (entry === undefined || !('aggregation' in entry)) return undefined;
      const isKept = isFresh(entry, maxAgeMs(entry.isFinal), writtenAt.get(taskId));
      return isKept ? entry.aggregation : undefined;
    }

    function freshPage(
      list: string,
      limit: number,
      isCounted: boolean,
      usages: Usages,
    ): TaskPage | undefined {
      const entry = find(pageKey(list));
      if (entry === undefined || !('page' in entry) || entry.limit < limit) return undefined;
      if (isCounted && !entry.isCounted) return undefined;
      if (!isFresh(entry, maxStalenessMs, lastWrittenAt)) return undefined;
      noteAnswer(usages, entry.requestedAt, maxStalenessMs);
      return firstOf(entry.page, limit, isCounted);
    }

    function freshResponse(operation: string): KeptResponse | undefined {
      const entry = find(responseKey(operation));
      if (entry === undefined || !('response' in entry)) return undefined;
      // What is known of a task since then must not be taken back.
      const isKept = !hasChangedSince(entry.requestedAt) && clock.monotonic() < entry.freshUntil;
      return isKept ? entry.response : undefined;
    }

    function hasChangedSince(requestedAt: number): boolean {
      const { changedAt = -Infinity } = store.partOf(credentialKey) ?? {};
      return requestedAt <= Math.max(lastWrittenAt, changedAt);
    }

    function freshCount(list: string, usages: Usages): number | null | undefined {
      const entry = find(countKey(list));
      if (entry === undefined || !('count' in entry)) return undefined;
      if (!isFresh(entry, maxStalenessMs, lastWrittenAt)) return undefined;
      noteAnswer(usages, entry.requestedAt, maxStalenessMs);
      return entry.count;
    }
  }

  function isFresh({ requestedAt }: Answer, maxAgeMs: number, changedAt = -Infinity): boolean {
    return requestedAt > changedAt && clock.monotonic() - requestedAt < maxAgeMs;
  }
}

function isChanged(before: Task | null, after: Task | null): boolean {
  if (before === null || after === null) return before !== after;
  return changeOf(before, after) !== null;
}

function noteRequest(usages: Usages, requestedAt: number, maxAgeMs: number): void {
  for (const usage of usages) usage.requested(requestedAt, requestedAt + maxAgeMs);
}

function noteAnswer(usages: Usages, requestedAt: number, maxAgeMs: number): void {
  noteRequest(usages, requestedAt, maxAgeMs);
  for (const usage of usages) usage.received();
}

/** The first rows of a page, and the length of its list only if that is counted. */
export function firstOf({ rows, total }: TaskPage, limit: number, isCounted: boolean): TaskPage {
  return {
    rows: rows.length > limit ? rows.slice(0, limit) : rows,
    total: isCounted ? total : null,
  };
}

/**
 * Whether upstream has finished writing to a task. It writes the completion status and the date
 * separately.
 */
function isFinal(task: Task | null): boolean {
  return task !== null && isCompleted(task) && task.completed !== null;
}
