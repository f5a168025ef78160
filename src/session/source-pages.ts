import DataLoader from 'dataloader';
import { GatewayError } from '../errors.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { PAGE_LIMIT, type TaskQuery, checkValue } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import type { Lists } from './lists.ts';
import type { ReadOptions } from './loader.ts';
import { whenAllAbort } from './shared-work.ts';

/** The first page of the list of one source, and how its caller wants to be answered. */
interface Wish {
  sourceId: string;
  query: TaskQuery;
  options: ReadOptions;
}

type Outcomes = Map<Wish, TaskPage | Error>;

/** How long wishes gather, in milliseconds. */
const GATHER_MS = 10;

/**
 * Joins first pages of the lists of single sources, wanted at the same moment, into `sourceId in (…)`.
 *
 * A joined page is a prefix of all their tasks in one order: so what it has of a source is a prefix of
 * that source's list, and the whole of it where the page is not full. Each task says by its target whose
 * it is. Where one does not, nothing can be told apart, and each source is asked for by itself. So are
 * those of which a full page has too little, after one more try without those that filled it.
 */
export function createSourcePages(lists: Lists): Lists {
  const loader = new DataLoader<Wish, TaskPage>(readBatch, {
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
      return loader.load({ sourceId, query, options });
    },
  };

  async function readBatch(wishes: readonly Wish[]): Promise<(TaskPage | Error)[]> {
    const outcomes: Outcomes = new Map();
    await Promise.all(groupBy(wishes, joinKeyOf).map(group => read(group, outcomes, true)));
    return wishes.map(wish => outcomes.get(wish) ?? new Error('A page was forgotten.'));
  }

  /** Reads for wishes that differ in nothing but the source and the length of the page. */
  async function read(
    wishes: readonly Wish[],
    outcomes: Outcomes,
    mayTryAgain: boolean,
  ): Promise<void> {
    await Promise.all(
      cut(wishes).map(async part => {
        const left = bySource(await readPart(part, outcomes));
        // Without those that filled the page, it may have enough of the others.
        if (mayTryAgain && left.length < bySource(part).length)
          await read(left.flat(), outcomes, false);
        else await Promise.all(left.map(own => readPart(own, outcomes)));
      }),
    );
  }

  /** Reads one page for all of these wishes, and gives those back that it does not fulfil: never one source by itself. */
  async function readPart(wishes: readonly Wish[], outcomes: Outcomes): Promise<readonly Wish[]> {
    const query = joinedQuery(wishes);
    const sourceIds = new Set(query.filter?.sourceIds);
    const page = await readPage(wishes, query);
    if (page instanceof Error) {
      // What upstream takes no offence at in each by itself it may refuse in all of them together.
      const mayBeJoint = page instanceof GatewayError && page.code === 'BAD_USER_INPUT';
      if (mayBeJoint && sourceIds.size > 1) return wishes;
      for (const wish of wishes) outcomes.set(wish, page);
      return [];
    }
    if (sourceIds.size === 1) {
      for (const wish of wishes)
        outcomes.set(wish, { ...page, rows: page.rows.slice(0, wish.query.limit) });
      return [];
    }
    const rows = tellApart(page.rows, sourceIds);
    if (rows === null) return wishes;
    const isWhole = page.rows.length < PAGE_LIMIT;
    return wishes.filter(wish => {
      const own = rows.get(wish.sourceId) ?? [];
      const { limit = PAGE_LIMIT, count = false } = wish.query;
      if (!isWhole && (count || own.length < limit)) return true;
      outcomes.set(wish, { rows: own.slice(0, limit), total: count ? own.length : null });
      return false;
    });
  }

  async function readPage(wishes: readonly Wish[], query: TaskQuery): Promise<TaskPage | Error> {
    const everybody = whenAllAbort(wishes.map(({ options }) => options.signal));
    try {
      return await lists.page(query, { ...wishes[0]?.options, signal: everybody.signal });
    } catch (error) {
      return error instanceof Error ? error : new Error('A page failed.', { cause: error });
    } finally {
      everybody.close();
    }
  }

  /** Parts of which a page may hold enough, if tasks are spread evenly, and that fit a request. */
  function cut(wishes: readonly Wish[]): (readonly Wish[])[] {
    const groups = bySource(wishes);
    if (groups.length < 2) return groups;
    const longest = Math.max(1, ...wishes.map(({ query }) => query.limit ?? PAGE_LIMIT));
    if (groups.length * longest <= PAGE_LIMIT && lists.fits(joinedQuery(wishes))) return [wishes];
    const half = groups.length >> 1;
    return [...cut(groups.slice(0, half).flat()), ...cut(groups.slice(half).flat())];
  }
}

/** The rows of each source, in order; null where one of them does not say whose it is. */
function tellApart(
  rows: readonly Row[],
  sourceIds: ReadonlySet<string>,
): Map<string, Row[]> | null {
  const isTold = (row: Row) => sourceIds.has(ownerOf(row) ?? '');
  if (!rows.every(isTold)) return null;
  return new Map(groupBy(rows, row => ownerOf(row) ?? '').map(own => [ownerOf(own[0]) ?? '', own]));
}

function ownerOf(row: Row | undefined): string | null {
  return row === undefined || row instanceof UnreadableTask ? null : (row.target?.id ?? null);
}

/** One request for all of them: a whole page where there are several sources, else no more than is wanted. */
function joinedQuery(wishes: readonly Wish[]): TaskQuery {
  const sourceIds = [...new Set(wishes.map(({ sourceId }) => sourceId))];
  const queries = wishes.map(({ query }) => query);
  const { filter, order } = queries[0] ?? {};
  const isOne = sourceIds.length === 1;
  return {
    filter: { ...filter, sourceIds },
    ...(order && { order }),
    limit: isOne ? Math.max(...queries.map(({ limit }) => limit ?? PAGE_LIMIT)) : PAGE_LIMIT,
    ...(isOne && queries.some(({ count }) => count) && { count: true }),
  };
}

function joinKeyOf({ query: { filter, order }, options: { isFresh } }: Wish): string {
  return JSON.stringify([{ ...filter, sourceIds: [] }, order, isFresh]);
}

function bySource(wishes: readonly Wish[]): Wish[][] {
  return groupBy(wishes, ({ sourceId }) => sourceId);
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
