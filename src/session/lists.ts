import type { Clock } from '../clock.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { PAGE_LIMIT, type TaskQuery, toQueryString } from '../upstream/query.ts';
import { UnreadableTask } from '../upstream/wire.ts';
import { JoiningUsages, type OperationUsage } from '../usage.ts';
import type { ReadOptions } from './loader.ts';
import { type Memory, firstOf } from './memory.ts';
import { SharedRequest, whenAllAbort } from './shared-request.ts';

/** Pages of upstream's list. Callers who request the same page at the same time share one fetch. */
export interface Lists {
  page(query: TaskQuery, options?: ReadOptions): Promise<TaskPage>;
  /** Whether the query fits the longest request target. */
  fits(query: TaskQuery): boolean;
  /** Call after a write. Later calls of `page` do not join requests that were sent before it. */
  invalidate(): void;
}

export interface ListsParts {
  api: Pick<TaskStatusApi, 'list' | 'fits'>;
  memory: Memory;
  clock: Clock;
}

/** A request for a page that has not been answered. */
interface PendingPage {
  limit: number;
  isCounted: boolean;
  requestedAt: number;
  request: SharedRequest<TaskPage>;
  /** Those who join it. */
  joining: JoiningUsages;
}

/**
 * Fetches pages through `api` and caches them and their tasks in `memory`. A page also answers
 * requests for fewer of its rows, and for the same rows without the length of the list.
 */
export function createLists({ api, memory, clock }: ListsParts): Lists {
  /** By list, order and offset. */
  const pending = new Map<string, Set<PendingPage>>();

  return {
    async page(query, { signal, isFresh = false, caller, usages = [] } = {}) {
      signal?.throwIfAborted();
      const { limit = PAGE_LIMIT, count: isCounted = false } = query;
      const key = toQueryString({ ...query, limit: undefined, count: undefined });
      const kept = isFresh ? undefined : recall(query, key, usages);
      if (kept !== undefined) return kept;
      const known = isFresh ? undefined : findPending(key, limit, isCounted);
      known?.joining.join(usages, clock.monotonic());
      const { requestedAt, request } = known ?? start(key, query, { caller, usages });
      memory.noteAge(usages, requestedAt);
      try {
        const page = await request.join(signal);
        return known === undefined ? page : firstOf(page, limit, isCounted);
      } finally {
        for (const usage of usages) usage.received();
      }
    },
    fits: query => api.fits(query),
    invalidate: () => pending.clear(),
  };

  /** The page from memory; undefined if upstream has to be asked. */
  function recall(
    query: TaskQuery,
    key: string,
    usages: readonly OperationUsage[],
  ): TaskPage | undefined {
    const { limit = PAGE_LIMIT, count: isCounted = false } = query;
    if (limit > 0 || !isCounted) return memory.page(key, limit, isCounted, usages);
    const total = memory.count(listOf(query), usages);
    return total === undefined ? undefined : { rows: [], total };
  }

  function findPending(key: string, limit: number, isCounted: boolean): PendingPage | undefined {
    for (const page of pending.get(key) ?? []) if (covers(page, limit, isCounted)) return page;
    return undefined;
  }

  /** The request is queued for the caller who came first; others who join wait with it. */
  function start(
    key: string,
    query: TaskQuery,
    { caller, usages = [] }: Pick<ReadOptions, 'caller' | 'usages'>,
  ): PendingPage {
    const { limit = PAGE_LIMIT, count: isCounted = false } = query;
    const requestedAt = clock.monotonic();
    const joining = new JoiningUsages(usages);
    const request = new SharedRequest(async signal => {
      try {
        const page = await api.list(query, { caller, signal, usages: [...usages, joining] });
        if (limit > 0) memory.keepPage(key, limit, isCounted, page, requestedAt);
        if (isCounted) memory.keepCount(listOf(query), page.total, requestedAt);
        for (const row of page.rows)
          if (!(row instanceof UnreadableTask)) memory.keepTask(row.id, row, requestedAt);
        return page;
      } finally {
        drop(key, started);
      }
    });
    const started = { limit, isCounted, requestedAt, request, joining };
    const others = pending.get(key) ?? new Set();
    pending.set(key, others.add(started));
    return started;
  }

  function drop(key: string, page: PendingPage): void {
    const pages = pending.get(key);
    pages?.delete(page);
    if (pages?.size === 0) pending.delete(key);
  }
}

function covers({ request, ...pending }: PendingPage, limit: number, isCounted: boolean): boolean {
  return !request.isAbandoned && pending.limit >= limit && (pending.isCounted || !isCounted);
}

/**
 * Reads one page for several callers. The request is aborted once all of them have disconnected. An
 * error is returned, not thrown, so that each caller can be given its own answer to it.
 */
export async function readForAll(
  lists: Pick<Lists, 'page'>,
  query: TaskQuery,
  callers: readonly ReadOptions[],
): Promise<TaskPage | Error> {
  const everyone = whenAllAbort(callers.map(({ signal }) => signal));
  try {
    // An operation that asks twice is served by one request.
    const usages = [...new Set(callers.flatMap(caller => caller.usages ?? []))];
    return await lists.page(query, { ...callers[0], signal: everyone.signal, usages });
  } catch (error) {
    return error instanceof Error ? error : new Error('Reading a page failed.', { cause: error });
  } finally {
    everyone.close();
  }
}

/** What identifies a list regardless of its order. */
function listOf({ filter }: TaskQuery): string {
  return toQueryString(filter === undefined ? {} : { filter });
}
