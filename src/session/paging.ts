import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { type Cursor, readCursor, tagOf, toCursor } from '../task/cursor.ts';
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

/** A page of a list, and which parts of it the caller selects: the rest is not fetched. */
export interface SliceRequest {
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

export interface SliceParts extends CountParts {
  clock: Pick<Clock, 'now'>;
}

interface PlacedTask {
  task: Task;
  offset: number;
}

/** What a walk for a page has read. */
interface PageRows {
  /** Readable tasks, one more than is returned where a next page is asked about. */
  tasks: PlacedTask[];
  /** The rows among them that could not be read. */
  faults: GatewayError[];
  /** How many rows there were, unreadable ones included. */
  length: number;
  /** Whether the list or range ends with them. */
  isEnd: boolean;
  /** Whether the walk was given up: more tasks follow. */
  isUnfinished: boolean;
}

// A list that has shifted since the cursor was given is searched; each request halves what is left of it.
const MAX_REQUESTS = 40;

/**
 * Reads part of a list. A row that cannot be read is left out, and the page is filled with the rows after it.
 * Throws BAD_USER_INPUT for arguments out of range, and UPSTREAM_UNAVAILABLE where the list changes faster
 * than it can be read.
 */
export async function readSlice(
  parts: SliceParts,
  { filter, order, first, after, wants }: SliceRequest,
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

  // One task more than is returned tells whether there is a next page, and costs no count.
  const wanted = wants.tasks || wants.hasNextPage ? first + (wants.hasNextPage ? 1 : 0) : 0;
  const isRange = filter.created !== undefined;
  let totalCount: number | null = null;
  const readPage = pageReader(parts.lists, upstreamPartOf(filter), order, options);
  const fetchPage = async (offset: number, limit: number) => {
    const page = await readPage(offset, limit, wants.totalCount && !isRange && totalCount === null);
    totalCount ??= page.total;
    return page.rows;
  };
  const { tasks, faults, length, isEnd, isUnfinished } = await readRows();
  if (wants.totalCount && isRange && isEnd && cursor === null && wanted > 0) totalCount = length;
  else if (wants.totalCount && (isRange || wanted === 0))
    totalCount = await countTasks(parts, filter, options);

  return {
    ...slice,
    entries: toEntries(tasks.slice(0, first), order, cursor),
    hasNextPage: wants.hasNextPage ? isUnfinished || tasks.length > first : null,
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
    if (wanted === 0 || (cursor !== null && range.isPast(cursor.created))) return rows;
    const start =
      cursor !== null && !range.isBefore(cursor.created)
        ? cursor
        : await range.start(parts.clock.now(), boundFinder(parts, filter, options));
    const walk = { after: start, wanted, overlap: 1, inOrder: true, maxRequests: MAX_REQUESTS };
    try {
      for await (const page of walkList({ order, fetchPage }, walk))
        for (const { row, offset } of page) {
          const isReadable = !(row instanceof UnreadableTask);
          if (isReadable && range.isPast(row.created)) return rows;
          rows.length++;
          if (isReadable) rows.tasks.push({ task: row, offset });
          else if (rows.tasks.length < first) rows.faults.push(row.error);
        }
    } catch (error) {
      // What was read is a page all the same, where it can say that more follows.
      const isPage = error instanceof UnfinishedWalk && rows.tasks.length > 0 && wants.hasNextPage;
      if (!isPage) throw error;
      return { ...rows, isEnd: false, isUnfinished: true };
    }
    return { ...rows, isEnd: rows.tasks.length < wanted };
  }
}

/** The newest task that matches a filter without a creation date; null where none does. */
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

/** Tasks and their cursors. A cursor names the tasks of the same millisecond before it. */
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
