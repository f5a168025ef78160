import DataLoader from 'dataloader';
import { GatewayError } from '../errors.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { PAGE_LIMIT, type TaskQuery, checkValue } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import type { Lists } from './lists.ts';
import type { ReadOptions } from './loader.ts';
import { abortable, whenAllAbort } from './shared-request.ts';

/** The first page of the list of one source, and how its caller wants to be answered. */
interface PageRequest {
  sourceId: string;
  query: TaskQuery;
  options: ReadOptions;
}

type Outcomes = Map<PageRequest, TaskPage | Error>;

/** How long requests gather, in milliseconds. */
const GATHER_MS = 10;

/**
 * Joins requests for first pages of single sources' lists, made at the same moment, into `sourceId in (…)`.
 *
 * A joined page is a prefix of all their tasks in one order. So its tasks of one source are a prefix of
 * that source's list, and the whole list where the page is not full. A task's target names its source.
 * Where a task has no target, rows cannot be told apart, and each source is read by itself. So is each
 * source of which a full page holds too few rows, after one more try without the sources that filled it.
 */
export function createSourcePages(lists: Lists): Lists {
  const loader = new DataLoader<PageRequest, TaskPage>(readBatch, {
    // How old an answer may be is the business of `lists`.
    cache: false,
    batchScheduleFn: dispatch => void setTimeout(dispatch, GATHER_MS),
  });

  return {
    ...lists,
    async page(query, options = {}) {
      const [sourceId, ...others] = query.filter?.sourceIds ?? [];
      if (sourceId === undefined || others.length > 0 || (query.offset ?? 0) > 0)
        return lists.page(query, options);
      // Here and not in the batch, where it would cost everybody else's pages too.
      checkValue(sourceId);
      options.signal?.throwIfAborted();
      return abortable(loader.load({ sourceId, query, options }), options.signal);
    },
  };

  async function readBatch(requests: readonly PageRequest[]): Promise<(TaskPage | Error)[]> {
    const outcomes: Outcomes = new Map();
    // Callers who left while requests gathered cost upstream nothing.
    const wanted = requests.filter(({ options }) => !options.signal?.aborted);
    await Promise.all(groupBy(wanted, joinKeyOf).map(group => read(group, outcomes, true)));
    return requests.map(
      request => outcomes.get(request) ?? new Error('The page was not read: its caller has left.'),
    );
  }

  /** Reads for requests that differ in nothing but the source and the length of the page. */
  async function read(
    requests: readonly PageRequest[],
    outcomes: Outcomes,
    mayTryAgain: boolean,
  ): Promise<void> {
    await Promise.all(
      cut(requests).map(async part => {
        const left = bySource(await readPart(part, outcomes));
        // Without those that filled the page, it may have enough of the others.
        if (mayTryAgain && left.length < bySource(part).length)
          await read(left.flat(), outcomes, false);
        else await Promise.all(left.map(own => readPart(own, outcomes)));
      }),
    );
  }

  /** Reads one page for all of these requests. Returns those it does not answer; none where it is of one source. */
  async function readPart(
    requests: readonly PageRequest[],
    outcomes: Outcomes,
  ): Promise<readonly PageRequest[]> {
    const query = joinedQuery(requests);
    const sourceIds = new Set(query.filter?.sourceIds);
    const page = await readPage(requests, query);
    if (page instanceof Error) {
      // Upstream may refuse a joined request though it accepts each part of it.
      const mayBeJoint = page instanceof GatewayError && page.code === 'BAD_USER_INPUT';
      if (mayBeJoint && sourceIds.size > 1) return requests;
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

  async function readPage(
    requests: readonly PageRequest[],
    query: TaskQuery,
  ): Promise<TaskPage | Error> {
    const everybody = whenAllAbort(requests.map(({ options }) => options.signal));
    try {
      const usages = requests.flatMap(({ options }) => options.usages ?? []);
      const options = { ...requests[0]?.options, signal: everybody.signal, usages };
      return await lists.page(query, options);
    } catch (error) {
      return error instanceof Error ? error : new Error('A page failed.', { cause: error });
    } finally {
      everybody.close();
    }
  }

  /** Parts that fit a request, and of which one page holds enough if tasks are spread evenly. */
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

/** The rows of each source, in order; null where a row does not name its source. */
function rowsBySource(
  rows: readonly Row[],
  sourceIds: ReadonlySet<string>,
): Map<string, Row[]> | null {
  const isOfOne = (row: Row) => sourceIds.has(sourceIdOf(row) ?? '');
  if (!rows.every(isOfOne)) return null;
  return new Map(
    groupBy(rows, row => sourceIdOf(row) ?? '').map(own => [sourceIdOf(own[0]) ?? '', own]),
  );
}

function sourceIdOf(row: Row | undefined): string | null {
  return row === undefined || row instanceof UnreadableTask ? null : (row.target?.id ?? null);
}

/** One query for all of them: a full page for several sources, no more than is wanted for one. */
function joinedQuery(requests: readonly PageRequest[]): TaskQuery {
  const sourceIds = [...new Set(requests.map(({ sourceId }) => sourceId))];
  const queries = requests.map(({ query }) => query);
  const { filter, order } = queries[0] ?? {};
  const isOne = sourceIds.length === 1;
  return {
    filter: { ...filter, sourceIds },
    ...(order && { order }),
    limit: isOne ? Math.max(...queries.map(({ limit }) => limit ?? PAGE_LIMIT)) : PAGE_LIMIT,
    ...(isOne && queries.some(({ count }) => count) && { count: true }),
  };
}

function joinKeyOf({ query: { filter, order }, options: { isFresh } }: PageRequest): string {
  return JSON.stringify([{ ...filter, sourceIds: [] }, order, isFresh]);
}

function bySource(requests: readonly PageRequest[]): PageRequest[][] {
  return groupBy(requests, ({ sourceId }) => sourceId);
}

function groupBy<T>(values: readonly T[], keyOf: (value: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const key = keyOf(value);
    const group = groups.get(key);
    if (group) group.push(value);
    else groups.set(key, [value]);
  }
  return [...groups.values()];
}
