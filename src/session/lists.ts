import type { Clock } from '../clock.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { type TaskQuery, toQueryString } from '../upstream/query.ts';
import { UnreadableTask } from '../upstream/wire.ts';
import type { ReadOptions } from './loader.ts';
import type { Memory } from './memory.ts';
import { SharedRequest } from './shared-request.ts';

/** Pages of upstream's list, each fetched once for all callers who want it at the same time. */
export interface Lists {
  page(query: TaskQuery, options?: ReadOptions): Promise<TaskPage>;
  fits(query: TaskQuery): boolean;
  /** A task was written to: later calls of `page` get no answer to a request sent before. */
  forget(): void;
}

export interface ListsParts {
  api: Pick<TaskStatusApi, 'list' | 'fits'>;
  memory: Memory;
  clock: Clock;
}

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
    forget: () => pending.clear(),
  };

  /** Others who join it wait for the turn of the caller who was first. */
  function start(
    key: string,
    query: TaskQuery,
    options: Pick<ReadOptions, 'caller' | 'usages'>,
  ): SharedRequest<TaskPage> {
    const started = new SharedRequest(async signal => {
      const askedAt = clock.monotonic();
      try {
        const page = await api.list(query, { ...options, signal });
        memory.keepPage(key, page, askedAt);
        for (const row of page.rows)
          if (!(row instanceof UnreadableTask)) memory.keepTask(row.id, row, askedAt);
        return page;
      } finally {
        if (pending.get(key) === started) pending.delete(key);
      }
    });
    pending.set(key, started);
    return started;
  }
}
