import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { type Cursor, MAX_TIES, readCursor, tagOf, toCursor } from '../task/cursor.ts';
import { type TaskFilter, type TaskOrder, matchesNothing, upstreamPartOf } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import { UnfinishedWalk, walkList } from '../upstream/list-walk.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import { UnreadableTask } from '../upstream/wire.ts';
import { toOrderedRange } from './created-range.ts';
import type { Lists } from './lists.ts';
import type { ReadOptions } from './loader.ts';
import { pageReader } from './page-reader.ts';
import { type CountParts, boundFinder, countTasks } from './task-count.ts';

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
  entries: { readonly cursor: string; task: Task }[];
  hasNextPage: boolean | null;
  hasPreviousPage: boolean;
  /** Also null if upstream does not count and no page reached the end of the list. */
  totalCount: number | null;
  /** One error for each unreadable row, which is left out of `entries`. */
  faults: GatewayError[];
}

export interface SliceParts extends CountParts {
  clock: Pick<Clock, 'now'>;
}

interface PlacedTask {
  task: Task;
  offset: number;
}

/** The rows that were read for a page. */
interface PageRows {
  /** Readable tasks, one more than is returned if `hasNextPage` is selected. */
  tasks: PlacedTask[];
  /** The errors of the unreadable rows among them. */
  faults: GatewayError[];
  /** How many rows there were, unreadable ones included. */
  length: number;
  /** Whether the list or range ends with them. */
  isEnd: boolean;
  /** Whether the walk was given up, so that more tasks follow. */
  isUnfinished: boolean;
}

// If the list has shifted since the cursor was issued, the walk searches it; each request halves
// the rest.
const MAX_REQUESTS = 40;

/**
 * Reads part of a list. A row that cannot be read is left out, and the page is filled with the rows
 * after it. Throws BAD_USER_INPUT for arguments out of range, and UPSTREAM_UNAVAILABLE where the
 * list changes faster than it can be read.
 */
export async function readSlice(
  parts: SliceParts,
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

  const maxRows = maxRowsOf(filter, first, after, selected);
  const isRange = filter.created !== undefined;
  // What belongs to a range may depend on the time.
  if (isRange) for (const usage of options.usages ?? []) usage.markUnique();
  let totalCount: number | null = null;
  const readPage = pageReader(parts.lists, upstreamPartOf(filter), order, options);
  const fetchPage = async (offset: number, limit: number) => {
    const isCounted = selected.totalCount && !isRange && totalCount === null;
    const page = await readPage(offset, limit, isCounted);
    totalCount ??= page.total;
    return page.rows;
  };
  const { tasks, faults, length, isEnd, isUnfinished } = await readRows();
  if (selected.totalCount && isRange && isEnd && cursor === null && maxRows > 0)
    totalCount = length;
  else if (selected.totalCount && (isRange || maxRows === 0))
    totalCount = await countTasks(parts, filter, options);

  return {
    ...slice,
    entries: toEntries(tasks.slice(0, first), order, cursor),
    hasNextPage: selected.hasNextPage ? isUnfinished || tasks.length > first : null,
    totalCount,
    faults,
  };

  async function readRows(): Promise<PageRows> {
    const range = toOrderedRange(filter.created, order);
    const rows: PageRows = {
      tasks: [],
      faults: [],
      length: 0,
      isEnd: true,
      isUnfinished: false,
    };
    if (maxRows === 0 || (cursor !== null && range.isPast(cursor.created))) return rows;
    const start =
      cursor !== null && !range.isBefore(cursor.created)
        ? cursor
        : await range.start(parts.clock.now(), boundFinder(parts, filter, options));
    const walk = { after: start, maxRows, overlap: 1, inOrder: true, maxRequests: MAX_REQUESTS };
    try {
      for await (const page of walkList({ order, fetchPage }, walk)) {
        for (const { row, offset } of page) {
          const isReadable = !(row instanceof UnreadableTask);
          if (isReadable && range.isPast(row.created)) return rows;
          rows.length++;
          if (isReadable) rows.tasks.push({ task: row, offset });
          else if (rows.tasks.length < first) rows.faults.push(row.error);
        }
        // The row that is read beside them is worth no request.
        if (!selected.hasNextPage && rows.tasks.length >= first) return { ...rows, isEnd: false };
      }
    } catch (error) {
      // What was read is still a valid page if the caller learns that more follows.
      const isPage =
        error instanceof UnfinishedWalk && rows.tasks.length > 0 && selected.hasNextPage;
      if (!isPage) throw error;
      return { ...rows, isEnd: false, isUnfinished: true };
    }
    return { ...rows, isEnd: rows.tasks.length < maxRows };
  }
}

/**
 * One more task than is returned says whether there is a next page, without a count. It is also
 * read where that is not selected, so that the same page answers both, unless that may need another
 * request.
 */
function maxRowsOf(
  { sourceIds }: TaskFilter,
  first: number,
  after: string | null,
  { tasks, hasNextPage }: SliceRequest['selected'],
): number {
  if (hasNextPage) return first + 1;
  if (!tasks) return 0;
  // After a cursor, rows are repeated. Lists of single sources are read together, as many as fit a
  // page.
  const isAlone = after === null && sourceIds?.length !== 1;
  return isAlone && first > 0 && first < PAGE_LIMIT ? first + 1 : first;
}

/** The newest task that matches a filter without a creation date; null if there is none. */
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

/** Tasks with their cursors. */
function toEntries(
  tasks: readonly PlacedTask[],
  order: TaskOrder,
  after: Cursor | null,
): TaskSlice['entries'] {
  const slice = { tasks, order, after };
  let firstTie = 0;
  return tasks.map((placed, place) => {
    if (tasks[firstTie]?.task.created !== placed.task.created) firstTie = place;
    return new Entry(placed, slice, place, firstTie);
  });
}

interface PlacedSlice {
  tasks: readonly PlacedTask[];
  order: TaskOrder;
  after: Cursor | null;
}

/**
 * A task whose cursor is encoded when it is read. The cursor lists the preceding tasks of the same
 * millisecond.
 */
class Entry {
  readonly task: Task;
  readonly #offset: number;
  readonly #slice: PlacedSlice;
  readonly #place: number;
  readonly #firstTie: number;

  constructor({ task, offset }: PlacedTask, slice: PlacedSlice, place: number, firstTie: number) {
    this.task = task;
    this.#offset = offset;
    this.#slice = slice;
    this.#place = place;
    this.#firstTie = firstTie;
  }

  get cursor(): string {
    const { tasks, order, after } = this.#slice;
    const ties = tasks
      .slice(Math.max(this.#firstTie, this.#place - MAX_TIES), this.#place)
      .map(({ task: { id } }) => tagOf(id));
    const isTieOfCursor = this.#firstTie === 0 && after?.created === this.task.created;
    const earlier = isTieOfCursor ? [...after.ties, tagOf(after.id)] : [];
    return toCursor(order, this.#offset, this.task, [...earlier, ...ties]);
  }
}
