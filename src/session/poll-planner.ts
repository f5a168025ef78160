import type { TaskStatusApi } from '../upstream/api.ts';
import type { CallOptions } from '../upstream/endpoints.ts';
import { walkList } from '../upstream/list-walk.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import type { Row } from '../upstream/wire.ts';

/** Reads watched tasks with as few requests as possible. */
export interface PollPlanner {
  /**
   * Calls back for each watched task that is found. A missing task is on no list; read it by its
   * id.
   */
  read(
    ids: readonly string[],
    onFound: (id: string, row: Row) => void,
    options: CallOptions,
  ): Promise<void>;
}

// Running tasks are counted only once in so many polls, because counting is expensive for upstream.
const COUNT_EVERY = 30;
// If upstream does not count, pages may cost this many times what reading by id costs before the
// planner switches.
const MAX_PAGES_PER_ID_REQUEST = 4;

/**
 * There are two ways to poll. Pages of all running tasks hold 250 to a request, watched or not. `id
 * in (…)` holds about 95 to a request, all of them watched. Which is cheaper depends on how many
 * tasks run. A poll that starts with pages continues while they are cheaper for the tasks still
 * missing. A task on none of the pages has ended or moved between two pages; `id in (…)` finds it.
 */
export function createPollPlanner(
  api: Pick<TaskStatusApi, 'runningOrder' | 'runningPage' | 'listed' | 'byIds' | 'idsPerRequest'>,
): PollPlanner {
  /** The number of running tasks when they were last counted; null if unknown. */
  let runningCount: number | null = null;
  let pollsUntilCount = 0;

  return {
    async read(ids, onFound, options) {
      if (pollsUntilCount-- === 0) runningCount = null;
      if (ids.length <= api.idsPerRequest || !isWorthPages(ids.length)) {
        for (const [id, row] of await api.byIds(ids, options)) onFound(id, row);
        return;
      }
      const missing = new Set(ids);
      const find = (row: Row) => {
        if (row.id !== null && missing.delete(row.id)) onFound(row.id, row);
      };
      await readPages(missing, find, options);
      if (missing.size > 0) (await api.listed([...missing], options)).forEach(find);
    },
  };

  function isWorthPages(count: number): boolean {
    return runningCount === null || Math.ceil(runningCount / PAGE_LIMIT) < requestsById(count);
  }

  /** Reads pages until few tasks are missing. */
  async function readPages(
    missing: ReadonlySet<string>,
    find: (row: Row) => void,
    options: CallOptions,
  ): Promise<void> {
    const watched = missing.size;
    let end = 0;
    const fetchPage = async (offset: number) => {
      const isCountDue = pollsUntilCount < 0;
      const { rows, total } = await api.runningPage(offset, isCountDue, options);
      if (isCountDue) pollsUntilCount = COUNT_EVERY;
      // Without a count, a page that is not full gives the number.
      runningCount =
        total ?? runningCount ?? (rows.length < PAGE_LIMIT ? offset + rows.length : null);
      end = offset + rows.length;
      return rows;
    };
    // No overlap is needed: tasks that are missed are found by id.
    for await (const page of walkList({ order: api.runningOrder, fetchPage }, { overlap: 0 })) {
      for (const { row } of page) find(row);
      const pagesToGo = Math.ceil(((runningCount ?? end) - end) / PAGE_LIMIT);
      const isTooLong = end / PAGE_LIMIT >= MAX_PAGES_PER_ID_REQUEST * requestsById(watched);
      if (isTooLong || requestsById(missing.size) <= pagesToGo) break;
    }
  }

  function requestsById(count: number): number {
    return Math.ceil(count / api.idsPerRequest);
  }
}
