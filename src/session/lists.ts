import type { Clock } from '../clock.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { type TaskQuery, toQueryString } from '../upstream/query.ts';
import { UnreadableTask } from '../upstream/wire.ts';
import type { ReadOptions } from './loader.ts';
import type { Memory } from './memory.ts';
import { SharedWork } from './shared-work.ts';

/** Pages of upstream's list, each fetched once for all who want it at the same time. */
export interface Lists {
  page(query: TaskQuery, options?: ReadOptions): Promise<TaskPage>;
  fits(query: TaskQuery): boolean;
  /** Something was written: nobody is given what is on its way. */
  forget(): void;
}

export interface ListsParts {
  api: Pick<TaskStatusApi, 'list' | 'fits'>;
  memory: Memory;
  clock: Clock;
}

export function createLists({ api, memory, clock }: ListsParts): Lists {
  const work = new Map<string, SharedWork<TaskPage>>();

  return {
    async page(query, { signal, isFresh = false } = {}) {
      const key = toQueryString(query);
      const kept = isFresh ? undefined : memory.page(key);
      if (kept !== undefined) return kept;
      const known = isFresh ? undefined : work.get(key);
      const joined = known && !known.isAbandoned ? known : start(key, query);
      return joined.join(signal);
    },
    fits: query => api.fits(query),
    forget: () => work.clear(),
  };

  function start(key: string, query: TaskQuery): SharedWork<TaskPage> {
    const started = new SharedWork(async signal => {
      const askedAt = clock.monotonic();
      try {
        const page = await api.list(query, { signal });
        memory.keepPage(key, page, askedAt);
        for (const row of page.rows)
          if (!(row instanceof UnreadableTask)) memory.keepTask(row.id, row, askedAt);
        return page;
      } finally {
        if (work.get(key) === started) work.delete(key);
      }
    });
    work.set(key, started);
    return started;
  }
}
