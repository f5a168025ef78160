import DataLoader from 'dataloader';
import { GatewayError } from '../errors.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { PAGE_LIMIT, type TaskQuery, checkValue } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import { groupBy } from './group-by.ts';
import { type Lists, readForAll } from './lists.ts';
import type { ReadOptions } from './loader.ts';
import { abortable } from './shared-request.ts';

/** A request for the first page of one source's list. */
interface PageRequest {
  sourceId: string;
  query: TaskQuery;
  options: ReadOptions;
}

type Outcomes = Map<PageRequest, TaskPage | Error>;

/** How long a batch collects requests, in milliseconds. */
const BATCH_DELAY_MS = 10;

/**
 * Joins concurrent requests for the first pages of single sources into one `sourceId in (…)`
 * request.
 *
 * A joined page is a prefix of the tasks of all these sources, in one order. Its tasks of one
 * source are therefore a prefix of that source's list, and the whole list if the page is not full.
 * The target of a task names its source. If a task has no target, each source is read separately.
 * If a full page holds too few rows of some sources, they are joined once more without the others,
 * then read separately.
 */
export function createSourcePages(lists: Lists): Lists {
  const loader = new DataLoader<PageRequest, TaskPage>(readBatch, {
    // `lists` does the caching.
    cache: false,
    batchScheduleFn: dispatch => void setTimeout(dispatch, BATCH_DELAY_MS),
  });

  return {
    ...lists,
    async page(query, options = {}) {
      const [sourceId, ...others] = query.filter?.sourceIds ?? [];
      if (sourceId === undefined || others.length > 0 || (query.offset ?? 0) > 0)
        return lists.page(query, options);
      // Checked here, because an error in the batch would fail the other pages too.
      checkValue(sourceId);
      options.signal?.throwIfAborted();
      return abortable(loader.load({ sourceId, query, options }), options.signal);
    },
  };

  async function readBatch(requests: readonly PageRequest[]): Promise<(TaskPage | Error)[]> {
    const outcomes: Outcomes = new Map();
    // Requests of callers who have left are not sent.
    const active = requests.filter(({ options }) => !options.signal?.aborted);
    await Promise.all(groupBy(active, joinKeyOf).map(group => read(group, outcomes, true)));
    return requests.map(
      request =>
        outcomes.get(request) ??
        new Error('The page was not read because its caller disconnected.'),
    );
  }

  /** Serves requests that differ only in the source and the length of the page. */
  async function read(
    requests: readonly PageRequest[],
    outcomes: Outcomes,
    mayRetry: boolean,
  ): Promise<void> {
    await Promise.all(
      cut(requests).map(async part => {
        const left = bySource(await readPart(part, outcomes));
        // Without the sources that filled the page, it may hold enough rows of the others.
        if (mayRetry && left.length < bySource(part).length)
          await read(left.flat(), outcomes, false);
        else await Promise.all(left.map(own => readPart(own, outcomes)));
      }),
    );
  }

  /**
   * Reads one page for all of these requests. Returns the requests that it does not answer; none if
   * there is one source.
   */
  async function readPart(
    requests: readonly PageRequest[],
    outcomes: Outcomes,
  ): Promise<readonly PageRequest[]> {
    const query = joinedQuery(requests);
    const sourceIds = new Set(query.filter?.sourceIds);
    const page = await readForAll(
      lists,
      query,
      requests.map(({ options }) => options),
    );
    if (page instanceof Error) {
      // Upstream may refuse a joined request even though it accepts each part of it.
      const mayBeJoining = page instanceof GatewayError && page.code === 'BAD_USER_INPUT';
      if (mayBeJoining && sourceIds.size > 1) return requests;
      for (const request of requests) outcomes.set(request, page);
      return [];
    }
    if (sourceIds.size === 1) {
      for (const request of requests)
        outcomes.set(request, { ...page, rows: page.rows.slice(0, request.query.limit) });
      return [];
    }
    const rows = rowsBySource(page.rows, sourceIds);
    if (rows === null) return requests;
    const isWhole = page.rows.length < PAGE_LIMIT;
    return requests.filter(request => {
      const own = rows.get(request.sourceId) ?? [];
      const { limit = PAGE_LIMIT, count = false } = request.query;
      if (!isWhole && (count || own.length < limit)) return true;
      outcomes.set(request, { rows: own.slice(0, limit), total: count ? own.length : null });
      return false;
    });
  }

  /**
   * Splits requests into parts that fit a URL and, if tasks are spread evenly over sources, one
   * page.
   */
  function cut(requests: readonly PageRequest[]): (readonly PageRequest[])[] {
    const groups = bySource(requests);
    if (groups.length < 2) return groups;
    const longest = Math.max(1, ...requests.map(({ query }) => query.limit ?? PAGE_LIMIT));
    if (groups.length * longest <= PAGE_LIMIT && lists.fits(joinedQuery(requests)))
      return [requests];
    const half = groups.length >> 1;
    return [...cut(groups.slice(0, half).flat()), ...cut(groups.slice(half).flat())];
  }
}

/** The rows of each source, in order; null if a row does not name its source. */
function rowsBySource(
  rows: readonly Row[],
  sourceIds: ReadonlySet<string>,
): Map<string, Row[]> | null {
  const isOfSources = (row: Row) => sourceIds.has(sourceIdOf(row) ?? '');
  if (!rows.every(isOfSources)) return null;
  return new Map(
    groupBy(rows, row => sourceIdOf(row) ?? '').map(own => [sourceIdOf(own[0]) ?? '', own]),
  );
}

function sourceIdOf(row: Row | undefined): string | null {
  return row === undefined || row instanceof UnreadableTask ? null : (row.target?.id ?? null);
}

/** One query for all requests: a full page for several sources, the requested length for one. */
function joinedQuery(requests: readonly PageRequest[]): TaskQuery {
  const sourceIds = [...new Set(requests.map(({ sourceId }) => sourceId))];
  const queries = requests.map(({ query }) => query);
  const { filter, order } = queries[0] ?? {};
  const isSingle = sourceIds.length === 1;
  return {
    filter: { ...filter, sourceIds },
    ...(order && { order }),
    limit: isSingle ? Math.max(...queries.map(({ limit }) => limit ?? PAGE_LIMIT)) : PAGE_LIMIT,
    ...(isSingle && queries.some(({ count }) => count) && { count: true }),
  };
}

function joinKeyOf({ query: { filter, order }, options: { isFresh } }: PageRequest): string {
  return JSON.stringify([{ ...filter, sourceIds: [] }, order, isFresh]);
}

function bySource(requests: readonly PageRequest[]): PageRequest[][] {
  return groupBy(requests, ({ sourceId }) => sourceId);
}
