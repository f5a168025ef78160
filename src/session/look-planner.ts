import type { CallOptions, TaskStatusApi } from '../upstream/api.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import type { Row } from '../upstream/wire.ts';

/** Reads what is watched, by the cheaper of two ways. */
export interface LookPlanner {
  /** The watched tasks that were found. One that is missing is on no list: ask for it by itself. */
  read(ids: readonly string[], options: CallOptions): Promise<Map<string, Row>>;
}

// Where pages were not worth their while they are tried again, now and then: tenants change.
const RETRY_PAGES_EVERY = 30;

/**
 * Many watched tasks are read from the pages of all running ones, 250 to a request; few of them among
 * many that nobody watches, by `id in (…)`, some 95 to a request. Which is cheaper shows in what each
 * page brings, so a look that begins with pages goes on with them for as long as they are. What was
 * on none of them has ended, or moved up while the pages were read; `id in (…)` finds it.
 */
export function createLookPlanner(
  api: Pick<TaskStatusApi, 'runningPage' | 'listed' | 'byIds' | 'idsPerRequest'>,
): LookPlanner {
  /** Watched tasks that a page brought at the last try; null before the first. */
  let yieldPerPage: number | null = null;
  let looksWithoutPages = 0;

  return {
    async read(ids, options) {
      if (!isWorthPages(ids.length)) return api.byIds(ids, options);
      const found = await readPages(new Set(ids), options);
      const missing = new Set(ids.filter(id => !found.has(id)));
      if (missing.size === 0) return found;
      for (const row of await api.listed([...missing], options))
        if (row.id !== null && missing.has(row.id)) found.set(row.id, row);
      return found;
    },
  };

  function isWorthPages(count: number): boolean {
    if (count <= api.idsPerRequest) return false;
    if (yieldPerPage === null || yieldPerPage > api.idsPerRequest) return true;
    looksWithoutPages = (looksWithoutPages + 1) % RETRY_PAGES_EVERY;
    return looksWithoutPages === 0;
  }

  async function readPages(
    wanted: ReadonlySet<string>,
    options: CallOptions,
  ): Promise<Map<string, Row>> {
    const found = new Map<string, Row>();
    for (let pages = 1; ; pages++) {
      const rows = await api.runningPage((pages - 1) * PAGE_LIMIT, options);
      const before = found.size;
      for (const row of rows) if (row.id !== null && wanted.has(row.id)) found.set(row.id, row);
      yieldPerPage = found.size / pages;
      const missing = wanted.size - found.size;
      const pagesToGo = missing / Math.max(1, found.size - before);
      if (rows.length < PAGE_LIMIT || missing / api.idsPerRequest <= pagesToGo) return found;
    }
  }
}
