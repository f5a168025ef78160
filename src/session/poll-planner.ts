import type { TaskStatusApi } from '../upstream/api.ts';
import type { CallOptions } from '../upstream/endpoints.ts';
import { walkList } from '../upstream/list-walk.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import type { Row } from '../upstream/wire.ts';

/** Reads watched tasks by the cheaper of two ways. */
export interface PollPlanner {
  /** The watched tasks that were found. A missing one is on no list: ask for it by itself. */
  read(ids: readonly string[], options: CallOptions): Promise<Map<string, Row>>;
}

// Running tasks are counted in every so many-th poll only: counting costs upstream.
const COUNT_EVERY = 30;
// Where upstream does not count, pages may cost so many times what reading by id costs, before ids take over.
const MAX_PAGES_PER_ID_REQUEST = 4;

/**
 * Many watched tasks are read from the pages of all running ones, 250 to a request; a few among many that
 * are not watched, by `id in (…)`, some 95 to a request. Which is cheaper depends on how many tasks run.
 * A poll that begins with pages goes on with them while they are the cheaper way for the tasks still
 * missing. A task on none of them has ended, or moved up between two pages; `id in (…)` finds it.
 */
export function createPollPlanner(
  api: Pick<TaskStatusApi, 'runningOrder' | 'runningPage' | 'listed' | 'byIds' | 'idsPerRequest'>,
): PollPlanner {
  /** How many tasks ran when they were last counted; null: it is not known. */
  let runningCount: number | null = null;
  let pollsUntilCount = 0;

  return {
    async read(ids, options) {
      if (pollsUntilCount-- === 0) runningCount = null;
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
    watched: ReadonlySet<string>,
    options: CallOptions,
  ): Promise<Map<string, Row>> {
    const found = new Map<string, Row>();
    let end = 0;
    const fetchPage = async (offset: number) => {
      const isCountDue = pollsUntilCount < 0;
      const { rows, total } = await api.runningPage(offset, isCountDue, options);
      if (isCountDue) pollsUntilCount = COUNT_EVERY;
      // Without a count, a walk to the end tells.
      runningCount =
        total ?? runningCount ?? (rows.length < PAGE_LIMIT ? offset + rows.length : null);
      end = offset + rows.length;
      return rows;
    };
    // Without overlap: what is missed is found by id.
    for await (const page of walkList({ order: api.runningOrder, fetchPage }, { overlap: 0 })) {
      for (const { row } of page)
        if (row.id !== null && watched.has(row.id)) found.set(row.id, row);
      const pagesToGo = Math.ceil(((runningCount ?? end) - end) / PAGE_LIMIT);
      const isTooLong = end / PAGE_LIMIT >= MAX_PAGES_PER_ID_REQUEST * requestsById(watched.size);
      if (isTooLong || requestsById(watched.size - found.size) <= pagesToGo) break;
    }
    return found;
  }

  function requestsById(count: number): number {
    return Math.ceil(count / api.idsPerRequest);
  }
}
