import type { TaskStatusApi } from '../upstream/api.ts';
import type { CallOptions } from '../upstream/endpoints.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import type { Row } from '../upstream/wire.ts';

/** Reads what is watched, by the cheaper of two ways. */
export interface LookPlanner {
  /** The watched tasks that were found. One that is missing is on no list: ask for it by itself. */
  read(ids: readonly string[], options: CallOptions): Promise<Map<string, Row>>;
}

// The number of running tasks is asked for now and then only: upstream says that counting costs it.
const COUNT_EVERY = 30;

/**
 * Many watched tasks are read from the pages of all running ones, 250 to a request; few of them among
 * many that nobody watches, by `id in (…)`, some 95 to a request. Which is cheaper depends on how many
 * tasks run. A look that begins with pages goes on with them for as long as they are the cheaper way
 * for what is still missing; what was on none of them has ended, or moved up while the pages were
 * read, and `id in (…)` finds it.
 */
export function createLookPlanner(
  api: Pick<TaskStatusApi, 'runningPage' | 'listed' | 'byIds' | 'idsPerRequest'>,
): LookPlanner {
  /** How many tasks ran when they were last counted; null: to be counted at the next look at many. */
  let runningCount: number | null = null;
  let looksSinceCount = 0;

  return {
    async read(ids, options) {
      if (++looksSinceCount >= COUNT_EVERY) runningCount = null;
      if (ids.length <= api.idsPerRequest || !isWorthPages(ids.length))
        return api.byIds(ids, options);
      const found = await readPages(new Set(ids), options);
      const missing = new Set(ids.filter(id => !found.has(id)));
      if (missing.size === 0) return found;
      for (const row of await api.listed([...missing], options))
        if (row.id !== null && missing.has(row.id)) found.set(row.id, row);
      return found;
    },
  };

  function isWorthPages(count: number): boolean {
    return runningCount === null || Math.ceil(runningCount / PAGE_LIMIT) < requestsById(count);
  }

  async function readPages(
    wanted: ReadonlySet<string>,
    options: CallOptions,
  ): Promise<Map<string, Row>> {
    const found = new Map<string, Row>();
    for (let offset = 0; ;) {
      const { rows, total } = await api.runningPage(offset, runningCount === null, options);
      if (total !== null) {
        runningCount = total;
        looksSinceCount = 0;
      }
      for (const row of rows) if (row.id !== null && wanted.has(row.id)) found.set(row.id, row);
      offset += rows.length;
      const missing = wanted.size - found.size;
      const pagesToGo = Math.ceil(((runningCount ?? offset) - offset) / PAGE_LIMIT);
      if (rows.length < PAGE_LIMIT || requestsById(missing) <= pagesToGo) return found;
    }
  }

  function requestsById(count: number): number {
    return Math.ceil(count / api.idsPerRequest);
  }
}
