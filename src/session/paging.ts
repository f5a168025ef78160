import { GatewayError } from '../errors.ts';
import { type Cursor, readCursor, tagOf, toCursor } from '../task/cursor.ts';
import { type TaskFilter, type TaskOrder, matchesNothing } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { UnfinishedWalk, walkList } from '../upstream/list-walk.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import type { Lists } from './lists.ts';
import type { ReadOptions } from './loader.ts';

/** A page of a list, and which parts of it are selected. Only those are fetched. */
export interface SliceRequest {
  filter: TaskFilter;
  order: TaskOrder;
  /** 0–250. */
  first: number;
  after: string | null;
  selected: { tasks: boolean; hasNextPage: boolean; totalCount: boolean };
}

/** A page of a list. Parts that were not selected are null. */
export interface TaskSlice {
  entries: { cursor: string; task: Task }[];
  hasNextPage: boolean | null;
  hasPreviousPage: boolean;
  /** Also null if upstream does not count and no page reached the end of the list. */
  totalCount: number | null;
  /** One error for each unreadable row, which is left out of `entries`. */
  faults: GatewayError[];
}

interface PlacedTask {
  task: Task;
  offset: number;
}

// If the list has shifted since the cursor was issued, the walk searches it; each request halves the rest.
const MAX_REQUESTS = 40;
// A screen does not show more tasks than this.
const MAX_IDS = 1_000;

/**
 * Reads part of a list. A row that cannot be read is left out, and the page is filled with the rows
 * after it. Throws BAD_USER_INPUT for arguments out of range, and UPSTREAM_UNAVAILABLE where the list
 * changes faster than it can be read.
 */
export async function readSlice(
  lists: Pick<Lists, 'page' | 'fits'>,
  { filter, order, first, after, selected }: SliceRequest,
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
  const fetchPage = async (offset: number, limit: number) => {
    const isCounted = selected.totalCount && totalCount === null;
    const page = await readPage(offset, limit, isCounted);
    totalCount ??= page.total;
    return page.rows;
  };

  // One more task than is returned says whether there is a next page, without a count.
  const maxRows =
    selected.tasks || selected.hasNextPage ? first + (selected.hasNextPage ? 1 : 0) : 0;
  const tasks: PlacedTask[] = [];
  const faults: GatewayError[] = [];
  let isUnfinished = false;
  try {
    const walk = { after: cursor, maxRows, overlap: 1, inOrder: true, maxRequests: MAX_REQUESTS };
    if (maxRows > 0)
      for await (const rows of walkList({ order, fetchPage }, walk))
        for (const { row, offset } of rows)
          if (!(row instanceof UnreadableTask)) tasks.push({ task: row, offset });
          else if (tasks.length < first) faults.push(row.error);
  } catch (error) {
    // What was read is still a valid page if the caller learns that more follows.
    isUnfinished = error instanceof UnfinishedWalk && tasks.length > 0 && selected.hasNextPage;
    if (!isUnfinished) throw error;
  }
  // If upstream does not count, a page that is not full still yields the total.
  for (const limit of maxRows > 0 ? [] : [0, PAGE_LIMIT])
    if (selected.totalCount && totalCount === null) await fetchPage(0, limit);

  return {
    ...slice,
    entries: toEntries(tasks.slice(0, first), order, cursor),
    hasNextPage: selected.hasNextPage ? isUnfinished || tasks.length > first : null,
    totalCount,
    faults,
  };
}

/** How many tasks match; null if upstream does not count them. */
export async function readCount(
  lists: Pick<Lists, 'page' | 'fits'>,
  filter: TaskFilter,
  options: ReadOptions,
): Promise<number | null> {
  const selected = { tasks: false, hasNextPage: false, totalCount: true };
  const request = { filter, order: 'CREATED_DESC', first: 0, after: null, selected } as const;
  return (await readSlice(lists, request, options)).totalCount;
}

/** The newest matching task; null if there is none. */
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

/** Tasks with their cursors. A cursor lists the preceding tasks of the same millisecond. */
function toEntries(
  tasks: readonly PlacedTask[],
  order: TaskOrder,
  after: Cursor | null,
): TaskSlice['entries'] {
  let created = after?.created;
  let ties = after === null ? [] : [...after.ties, tagOf(after.id)];
  return tasks.map(({ task, offset }) => {
    if (task.created !== created) ties = [];
    created = task.created;
    const cursor = toCursor(order, offset, task, ties);
    ties.push(tagOf(task.id));
    return { cursor, task };
  });
}

/** The error for a filter that does not fit a request and cannot be split into parts that do. */
export function tooLong(): GatewayError {
  return new GatewayError(
    'BAD_USER_INPUT',
    'The filter is too long for one upstream request: use fewer or shorter values.',
  );
}

type ReadPage = (offset: number, limit: number, count: boolean) => Promise<TaskPage>;

/** Reads pages of upstream's list. If the ids do not fit one URL, several lists are read and merged. */
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
  if (ids === undefined || ids.length > MAX_IDS || !ids.every(id => lists.fits(withIds([id]))))
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
