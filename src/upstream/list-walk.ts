import { GatewayError } from '../errors.ts';
import { type Cursor, MAX_TIES, tagOf } from '../task/cursor.ts';
import type { TaskOrder } from '../task/filter.ts';
import type { Instant } from '../task/task.ts';
import { PAGE_LIMIT } from './query.ts';
import { type Row, UnreadableTask } from './wire.ts';

/** A list that is read by offset. */
export interface WalkedList {
  /** Null if upstream promises no order. */
  order: TaskOrder | null;
  fetchPage(offset: number, limit: number): Promise<readonly Row[]>;
}

export interface WalkOptions {
  /** Starts after this place. */
  after?: Cursor | null;
  /** Stops after so many readable rows, and requests no longer pages than needed for them. */
  maxRows?: number;
  /**
   * How many rows each page repeats of the one before. 0: rows may be missed when the list shifts.
   */
  overlap?: number;
  /** The length of the first page; a full page by default. */
  firstPage?: number;
  /**
   * Drops rows that appear before rows that were already yielded, so that the result stays in
   * order.
   */
  inOrder?: boolean;
  /** The walk fails with UPSTREAM_UNAVAILABLE after so many requests, or after 64 MB. */
  maxRequests?: number;
}

/** A row, and its offset when it was read. */
export interface PlacedRow {
  row: Row;
  offset: number;
}

/** The default overlap. So many tasks may end between two pages without extra requests. */
export const OVERLAP = 25;
// 90,000 rows.
const MAX_REQUESTS = 400;
// 50,000 rows of the usual length. Callers keep what a walk reads in memory.
const MAX_BYTES = 64 * 1_048_576;

/**
 * Reads a list page by page while it changes. Yields the new rows of each page.
 *
 * New tasks appear at one end, and completed tasks leave a list of running ones, so offsets shift
 * between two pages. Each page therefore repeats some rows of the page before. A repeated row, or a
 * row that the order places before it, is an anchor: it proves that no row is missing between the
 * pages. If a page has no anchor, rows have moved up past the offset, and the walk searches
 * backwards. If a page has only known rows, rows were pushed down, and it searches forwards. The
 * search takes growing steps, then bisects.
 *
 * The walk ends at the end of the list: a page with an anchor that is not full. It misses no row
 * that was on the list all the time. It yields no row twice, unless upstream orders tasks of one
 * millisecond differently each time or rows have no id.
 */
export async function* walkList(
  list: WalkedList,
  {
    after = null,
    maxRows = Infinity,
    overlap = OVERLAP,
    firstPage = PAGE_LIMIT,
    inOrder = false,
    maxRequests = MAX_REQUESTS,
  }: WalkOptions = {},
): AsyncGenerator<PlacedRow[], void> {
  const state = new WalkState(list.order, after, inOrder);
  const search = new Search();
  let missing = maxRows;
  let repeated = after === null ? 0 : after.ties.length + 2;
  let offset = after === null ? 0 : Math.max(0, after.offset + 1 - repeated);
  let limit = Math.min(firstPage, missing + repeated);
  let bytes = 0;

  for (let requests = 0; requests < maxRequests; requests++) {
    const rows = await list.fetchPage(offset, limit);
    bytes += rows.reduce(
      (sum, row) => sum + (row instanceof UnreadableTask ? 0 : row.wireBytes),
      0,
    );
    if (bytes > MAX_BYTES) break;
    const { anchor, fresh } = state.add(rows, offset, overlap === 0);
    if (anchor === null) {
      ({ offset, limit } = search.before(offset));
      continue;
    }
    if (fresh.length > 0) yield fresh;
    missing -= fresh.filter(({ row }) => !(row instanceof UnreadableTask)).length;
    if (missing <= 0 || rows.length < limit) return;
    const end = offset + rows.length;
    if (fresh.length === 0) {
      ({ offset, limit } = search.after(overlap === 0 ? end : anchor));
      continue;
    }
    search.reset();
    repeated = overlap === 0 ? 0 : Math.min(end, state.repeatedFrom(end, overlap), PAGE_LIMIT - 1);
    offset = end - repeated;
    limit = Math.min(PAGE_LIMIT, missing + repeated);
  }
  throw new UnfinishedWalk();
}

/** The list is too long for a walk, or changes faster than it can be read. */
export class UnfinishedWalk extends GatewayError {
  constructor() {
    super(
      'UPSTREAM_UNAVAILABLE',
      'The list is too long to be read, or changes too fast. Narrow the filter, or try again.',
    );
  }
}

/** The rows that a walk has read, and which rows of a page are new. */
class WalkState {
  readonly #order: TaskOrder | null;
  readonly #after: Cursor | null;
  readonly #inOrder: boolean;
  readonly #known = new Set<string>();
  /** The last row in the list's order that was read. */
  #position: { created: Instant; offset: number; ties: number } | null;
  /** How many rows without an id followed the last row. */
  #withoutId = 0;

  constructor(order: TaskOrder | null, after: Cursor | null, inOrder: boolean) {
    this.#inOrder = inOrder;
    this.#order = order;
    this.#after = after;
    this.#position = after && {
      created: after.created,
      offset: after.offset,
      ties: after.ties.length,
    };
  }

  /**
   * Adds a page. `anchor` is the offset of the last row that proves that no row is missing before
   * `fresh`. Null if there is none, unless rows may be missed.
   */
  add(
    rows: readonly Row[],
    offset: number,
    mayMiss: boolean,
  ): { anchor: number | null; fresh: PlacedRow[] } {
    const wasRead = (row: Row) => this.#isKnown(row) || this.#isBefore(row, this.#position);
    // With many ties, a known row of the same millisecond may have unread rows before it, so it is
    // no anchor.
    const isAnchor = this.#keepsTies ? wasRead : (row: Row) => this.#isBefore(row, this.#position);
    const isFirst = this.#known.size === 0 && this.#position === null;
    const lastRead =
      !isFirst && rows.some(row => row instanceof UnreadableTask)
        ? rows.findLastIndex(wasRead)
        : -1;
    // Where rows may be missed, a page needs no anchor.
    const lastAnchor = isFirst || mayMiss ? -1 : rows.findLastIndex(isAnchor);
    if (lastAnchor === -1 && offset > 0 && !mayMiss) return { anchor: null, fresh: [] };
    const own = this.#after === null ? -1 : rows.findIndex(({ id }) => id === this.#after?.id);
    const start = this.#inOrder ? this.#position : this.#after;
    let skipped = 0;
    const fresh: PlacedRow[] = [];
    for (const [place, row] of rows.entries()) {
      const isFresh =
        row.id === null
          ? // A row without an id is known only by its position.
            place > lastRead && skipped++ >= this.#withoutId
          : !this.#isKnown(row) &&
            !this.#isBefore(row, start) &&
            (row instanceof UnreadableTask
              ? this.#after === null || place > lastRead
              : place > own || !this.#keepsTies);
      if (isFresh) fresh.push({ row, offset: offset + place });
      if (isFresh && row.id !== null) this.#known.add(row.id);
    }
    for (const placed of fresh) this.#advance(placed);
    return { anchor: offset + Math.max(0, lastAnchor), fresh };
  }

  /**
   * Whether so many tasks share a millisecond that they cannot all be repeated. They are assumed to
   * keep their order.
   */
  get #keepsTies(): boolean {
    return this.#order === null || (this.#position?.ties ?? 0) >= MAX_TIES;
  }

  /** How many rows before this offset the next page must repeat. */
  repeatedFrom(end: number, overlap: number): number {
    const { offset, ties } = this.#position ?? { offset: end - 1, ties: 0 };
    return Math.max(0, end - 1 - offset) + Math.max(overlap, Math.min(ties, MAX_TIES) + 2);
  }

  #advance({ row, offset }: PlacedRow): void {
    if (row.id === null) {
      this.#withoutId++;
      return;
    }
    if (row instanceof UnreadableTask) return;
    const before = this.#position;
    if (this.#isBefore(row, before)) return;
    this.#withoutId = 0;
    const ties = before?.created === row.created ? before.ties + 1 : 0;
    this.#position = { created: row.created, offset, ties };
  }

  #isKnown({ id }: Row): boolean {
    if (id === null) return false;
    if (this.#known.has(id)) return true;
    return this.#after !== null && (id === this.#after.id || this.#after.ties.includes(tagOf(id)));
  }

  /** Whether the order places a row before this position. False for a tie. */
  #isBefore(row: Row, position: { created: Instant } | null): boolean {
    if (position === null || this.#order === null || row instanceof UnreadableTask) return false;
    return this.#order === 'CREATED_ASC'
      ? row.created < position.created
      : row.created > position.created;
  }
}

/** Finds the offset where a walk continues after the list has shifted. */
class Search {
  #low = 0;
  #high = Infinity;
  #step = PAGE_LIMIT - OVERLAP;

  reset(): void {
    this.#low = 0;
    this.#high = Infinity;
    this.#step = PAGE_LIMIT - OVERLAP;
  }

  /** The place is before this offset. */
  before(offset: number) {
    this.#high = offset;
    // The lower bound is outdated: the list has shifted since.
    if (this.#low >= offset) this.#low = 0;
    return this.#next();
  }

  /** The place is at this offset or after it. */
  after(offset: number) {
    this.#low = offset;
    if (this.#high <= offset) this.#high = Infinity;
    return this.#next();
  }

  #next(): { offset: number; limit: number } {
    const gap = this.#high - this.#low;
    let offset = this.#low;
    if (this.#high === Infinity) offset = this.#low + this.#nextStep() - (PAGE_LIMIT - OVERLAP);
    else if (this.#low === 0) offset = Math.max(0, this.#high - this.#nextStep());
    else if (gap > PAGE_LIMIT - OVERLAP) offset = this.#low + (gap >> 1);
    return { offset, limit: PAGE_LIMIT };
  }

  #nextStep(): number {
    const step = this.#step;
    this.#step *= 2;
    return step;
  }
}
