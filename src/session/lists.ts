import type { Clock } from '../clock.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { type TaskQuery, toQueryString } from '../upstream/query.ts';
import { UnreadableTask } from '../upstream/wire.ts';
import type { ReadOptions } from './loader.ts';
import type { Memory } from './memory.ts';
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

/** Fetches pages through `api` and caches them and their tasks in `memory`. */
export function createLists({ api, memory, clock }: ListsParts): Lists {
  const pending = new Map<string, SharedRequest<TaskPage>>();

  return {
    async page(query, { signal, isFresh = false, caller, usages = [] } = {}) {
      signal?.throwIfAborted();
      const key = toQueryString(query);
      const kept = isFresh ? undefined : memory.page(key);
      if (kept !== undefined) return kept;
      const known = isFresh ? undefined : pending.get(key);
      if (known && !known.isAbandoned) {
        for (const usage of usages) usage.sent();
        return known.join(signal);
      }
      return start(key, query, { caller, usages }).join(signal);
    },
    fits: query => api.fits(query),
    invalidate: () => pending.clear(),
  };

  /** The request is queued for the caller who came first; others who join wait with it. */
  function start(
    key: string,
    query: TaskQuery,
    options: Pick<ReadOptions, 'caller' | 'usages'>,
  ): SharedRequest<TaskPage> {
    const started = new SharedRequest(async signal => {
      const requestedAt = clock.monotonic();
      try {
        const page = await api.list(query, { ...options, signal });
        memory.keepPage(key, page, requestedAt);
        if (page.total !== null)
          memory.keepPage(countKeyOf(query), { ...page, rows: [] }, requestedAt);
        for (const row of page.rows)
          if (!(row instanceof UnreadableTask)) memory.keepTask(row.id, row, requestedAt);
        return page;
      } finally {
        if (pending.get(key) === started) pending.delete(key);
      }
    });
    pending.set(key, started);
    return started;
  }
}

/**
 * Reads one page for several callers. The request is aborted once all of them have disconnected. An error
 * is returned, not thrown, so that each caller can be given its own answer to it.
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

/** The query string of a request for the number of tasks alone. */
function countKeyOf({ filter }: TaskQuery): string {
  return toQueryString({ ...(filter && { filter }), limit: 0, count: true });
}
