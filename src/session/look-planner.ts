import type { CallOptions, TaskStatusApi } from '../upstream/api.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import type { Row } from '../upstream/wire.ts';

/** Reads what is watched, by the cheaper of two ways. */
export interface LookPlanner {
  /** The watched tasks that were found. One that is missing is on no list: ask for it by itself. */
  read(ids: readonly string[], options: CallOptions): Promise<Map<string, Row>>;
}

// What is known of the number of running tasks is found out anew now and then: tenants change.
const RECOUNT_EVERY = 30;

/**
 * Many watched tasks are read from the pages of all running ones, 250 to a request; few of them among
 * many that nobody watches, by `id in (…)`, some 95 to a request. Which is cheaper depends on how many
 * tasks run, and that shows in how many of the watched ones each page brings; a look that begins with
 * pages goes on with them for as long as they are. What was on none of them has ended, or moved up
 * while the pages were read; `id in (…)` finds it.
 */
export function createLookPlanner(
  api: Pick<TaskStatusApi, 'runningPage' | 'listed' | 'byIds' | 'idsPerRequest'>,
): LookPlanner {
  /** How many tasks run, as the pages last read had it; null before the first, and when it is too old. */
  let runningCount: number | null = null;
  let looksSinceCount = 0;

  return {
    async read(ids, options) {
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
    looksSinceCount++;
    if (runningCount === null || looksSinceCount > RECOUNT_EVERY) return true;
    return Math.ceil(runningCount / PAGE_LIMIT) < Math.ceil(count / api.idsPerRequest);
  }

  async function readPages(
    wanted: ReadonlySet<string>,
    options: CallOptions,
  ): Promise<Map<string, Row>> {
    const found = new Map<string, Row>();
    looksSinceCount = 0;
    for (let offset = 0; ;) {
      const rows = await api.runningPage(offset, options);
      for (const row of rows) if (row.id !== null && wanted.has(row.id)) found.set(row.id, row);
      offset += rows.length;
      const missing = wanted.size - found.size;
      const isLast = rows.length < PAGE_LIMIT;
      // If the rest of the tasks is as much watched as those read.
      runningCount =
        isLast || missing === 0 ? offset : (offset * wanted.size) / Math.max(1, found.size);
      const pagesToGo = Math.ceil((runningCount - offset) / PAGE_LIMIT);
      if (isLast || Math.ceil(missing / api.idsPerRequest) <= pagesToGo) return found;
    }
  }
}
