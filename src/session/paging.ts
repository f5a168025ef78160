import { GatewayError } from '../errors.ts';
import { type Cursor, isBehind, readCursor, toCursor } from '../task/cursor.ts';
import { type TaskFilter, type TaskOrder, matchesNothing } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import type { Lists } from './lists.ts';
import type { ReadOptions } from './loader.ts';

/** A page of a list, and how much of it the caller will look at: the rest is not fetched. */
export interface SliceWish {
  filter: TaskFilter;
  order: TaskOrder;
  /** 0–250. */
  first: number;
  after: string | null;
  wants: { tasks: boolean; hasNextPage: boolean; totalCount: boolean };
}

/** Part of a list. What was not wanted is null. */
export interface TaskSlice {
  entries: { cursor: string; task: Task }[];
  hasNextPage: boolean | null;
  hasPreviousPage: boolean;
  /** Also null if upstream does not count and no page reached the end of the list. */
  totalCount: number | null;
  /** One for each row that could not be read, and is left out. */
  faults: GatewayError[];
}

type FetchPage = (offset: number, limit: number) => Promise<{ rows: Row[]; total: number | null }>;
type Placed = { offset: number; row: Row };

// Between two requests for one slice the list may shift; how often it is followed is bounded.
const MAX_PAGES = 4;
// More than this many ids in one filter are more than a screen shows.
const MAX_IDS = 1_000;

/** Reads part of a list. Throws BAD_USER_INPUT for arguments out of range. */
export async function readSlice(
  lists: Pick<Lists, 'page' | 'fits'>,
  { filter, order, first, after, wants }: SliceWish,
  options: ReadOptions,
): Promise<TaskSlice> {
  if (first < 0 || first > PAGE_LIMIT)
    throw new GatewayError(
      'BAD_USER_INPUT',
      `\`first\` must be between 0 and ${PAGE_LIMIT}, not ${first}.`,
    );
  const cursor = after === null ? null : readCursor(after, order);
  const slice = { entries: [], hasNextPage: false, hasPreviousPage: cursor !== null, faults: [] };
  if (matchesNothing(filter)) return { ...slice, totalCount: 0 };

  let totalCount: number | null = null;
  const readPage = pageReader(lists, filter, order, options);
  const fetchPage: FetchPage = async (offset, limit) => {
    const isCounted = wants.totalCount && totalCount === null;
    const page = await readPage(offset, limit, isCounted);
    totalCount ??= page.total;
    return page;
  };

  // One row more than is shown tells whether there is a next page, and costs no count.
  const wanted = wants.tasks || wants.hasNextPage ? first + (wants.hasNextPage ? 1 : 0) : 0;
  const placed = wanted > 0 ? await readPlaced(fetchPage, cursor, wanted) : [];
  // If upstream does not count, a page that is not full still gives the total.
  for (const limit of wanted > 0 ? [] : [0, PAGE_LIMIT])
    if (wants.totalCount && totalCount === null) await fetchPage(0, limit);

  const shown = placed.slice(0, first);
  return {
    ...slice,
    entries: shown.flatMap(({ offset, row }) =>
      row instanceof UnreadableTask ? [] : [{ cursor: toCursor(order, offset, row), task: row }],
    ),
    hasNextPage: wants.hasNextPage ? placed.length > first : null,
    totalCount,
    faults: shown.flatMap(({ row }) => (row instanceof UnreadableTask ? [row.error] : [])),
  };
}

/** The newest task that matches; null where none does. */
export async function readLatest(
  lists: Pick<Lists, 'page'>,
  filter: TaskFilter,
  options: ReadOptions,
): Promise<Task | null> {
  const { rows } = await lists.page({ filter, order: 'CREATED_DESC', limit: 1 }, options);
  const [row = null] = rows;
  if (row instanceof UnreadableTask) throw row.error;
  return row;
}

/**
 * The first `wanted` rows after the cursor. The cursor's own row is asked for too, as an anchor:
 * while callers page, tasks are added and end, and the rows behind an offset become others.
 */
async function readPlaced(
  fetchPage: FetchPage,
  cursor: Cursor | null,
  wanted: number,
): Promise<Placed[]> {
  const placed: Placed[] = [];
  const known = new Set<string>();
  let offset = cursor?.offset ?? 0;
  let limit = Math.min(PAGE_LIMIT, wanted + (cursor === null ? 0 : 1));

  for (let pages = 0; pages < MAX_PAGES && placed.length < wanted; pages++) {
    const { rows } = await fetchPage(offset, limit);
    if (cursor !== null && pages === 0 && offset > 0 && hasShifted(rows, cursor)) {
      // Rows before the cursor are gone, and some after it moved up past the offset.
      offset = Math.max(0, offset - PAGE_LIMIT);
      limit = PAGE_LIMIT;
      continue;
    }
    const fresh = cursor === null || placed.length > 0 ? 0 : firstAfter(rows, cursor);
    for (const [place, row] of rows.entries()) {
      // Upstream may repeat a row, and a list that grows at its head repeats the rows it pushes down.
      if (place < fresh || (row.id !== null && known.has(row.id))) continue;
      if (row.id !== null) known.add(row.id);
      placed.push({ offset: offset + place, row });
    }
    if (rows.length < limit) break;
    offset += rows.length;
    limit = Math.min(PAGE_LIMIT, Math.max(1, wanted - placed.length));
  }
  return placed.slice(0, wanted);
}

/** The filter does not fit a request, and cannot be cut into parts that do. */
export function tooLong(): GatewayError {
  return new GatewayError(
    'BAD_USER_INPUT',
    'The filter is longer than a request upstream may be; ask for less at once.',
  );
}

function hasShifted([first]: readonly Row[], cursor: Cursor): boolean {
  return first === undefined || (!(first instanceof UnreadableTask) && !isBehind(cursor, first));
}

/** The place of the first row after the cursor. */
function firstAfter(rows: readonly Row[], cursor: Cursor): number {
  const own = rows.findIndex(row => row.id === cursor.id);
  if (own !== -1) return own + 1;
  const after = rows.findIndex(row => !(row instanceof UnreadableTask) && !isBehind(cursor, row));
  return after === -1 ? rows.length : after;
}

type ReadPage = (offset: number, limit: number, count: boolean) => Promise<TaskPage>;

/** Pages of upstream's list, or of what many short lists give where the ids do not fit one URL. */
function pageReader(
  lists: Pick<Lists, 'page' | 'fits'>,
  filter: TaskFilter,
  order: TaskOrder,
  options: ReadOptions,
): ReadPage {
  const query = { filter, order, limit: PAGE_LIMIT, offset: 2 ** 31 - 1, count: true };
  if (lists.fits(query))
    return (offset, limit, count) => lists.page({ filter, order, offset, limit, count }, options);

  const { ids, ...others } = filter;
  const withIds = (some: readonly string[]) => ({ ...query, filter: { ...others, ids: some } });
  if (ids === undefined || ids.length > MAX_IDS || !lists.fits(withIds(ids.slice(0, 1))))
    throw tooLong();

  let all: Promise<Row[]> | null = null;
  return async (offset, limit) => {
    all ??= readAll(cutToFit([...new Set(ids)]));
    const rows = await all;
    return { rows: rows.slice(offset, offset + limit), total: rows.length };
  };

  function cutToFit(some: readonly string[]): (readonly string[])[] {
    if (some.length <= PAGE_LIMIT && lists.fits(withIds(some))) return [some];
    const half = some.length >> 1;
    return [...cutToFit(some.slice(0, half)), ...cutToFit(some.slice(half))];
  }

  async function readAll(cuts: (readonly string[])[]): Promise<Row[]> {
    const pages = await Promise.all(
      cuts.map(cut =>
        lists.page({ filter: { ...others, ids: cut }, order, limit: PAGE_LIMIT }, options),
      ),
    );
    const sign = order === 'CREATED_ASC' ? 1 : -1;
    const createdOf = (row: Row) => (row instanceof UnreadableTask ? 0 : row.created);
    return pages.flatMap(({ rows }) => rows).sort((a, b) => sign * (createdOf(a) - createdOf(b)));
  }
}
