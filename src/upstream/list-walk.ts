import { GatewayError } from '../errors.ts';
import { type Cursor, MAX_TIES, tagOf } from '../task/cursor.ts';
import type { TaskOrder } from '../task/filter.ts';
import type { Instant } from '../task/task.ts';
import { PAGE_LIMIT } from './query.ts';
import { type Row, UnreadableTask } from './wire.ts';

/** A list of upstream's, by offset. */
export interface WalkedList {
  /** Null where upstream promises no order. */
  order: TaskOrder | null;
  fetchPage(offset: number, limit: number): Promise<readonly Row[]>;
}

export interface WalkOptions {
  /** Only rows after this place. */
  after?: Cursor | null;
  /** Readable rows after which the walk stops. Pages are no longer than they need to be. */
  wanted?: number;
  /** Rows that each page repeats of the one before. 0: rows may be missed when the list shifts. */
  overlap?: number;
  /** Rows of the first page, where most walks are expected to stop there; a full page otherwise. */
  firstPage?: number;
  /** Leaves out rows that turn up before what was given: a page for a caller stays in order. */
  inOrder?: boolean;
  /** Requests after which a walk that is not done fails with UPSTREAM_UNAVAILABLE; so does one that has read 64 MB. */
  maxRequests?: number;
}

/** A row, and the offset at which it stood. */
export interface PlacedRow {
  row: Row;
  offset: number;
}

/** Rows that a walk over a whole list repeats: as many tasks may end between two pages at no extra cost. */
export const OVERLAP = 25;
// 90,000 rows.
const MAX_REQUESTS = 400;
// 50,000 rows of the usual length. Those who walk a whole list keep what they read.
const MAX_BYTES = 64 * 1_048_576;

/**
 * Reads a list page by page while it changes. Yields the rows of each page that were not there before.
 *
 * New tasks appear at one end, and tasks that end leave a list of running ones, so the rows behind an
 * offset become others between two pages. Each page therefore begins with rows of the page before. A page
 * that has such a row, or one that belongs before them, joins on to what was read. On a page that does
 * not, rows have moved up past the offset: the walk goes back. On a page that has nothing else, rows were
 * pushed down: it goes on. It looks for the place in growing steps, then by halves.
 *
 * The walk ends only where the list does: at a page that joins on and is not full. No row that was on the
 * list all the time is missed; none is given twice, unless upstream orders tasks of one millisecond
 * differently each time or rows have no id.
 */
export async function* walkList(
  list: WalkedList,
  {
    after = null,
    wanted = Infinity,
    overlap = OVERLAP,
    firstPage = PAGE_LIMIT,
    inOrder = false,
    maxRequests = MAX_REQUESTS,
  }: WalkOptions = {},
): AsyncGenerator<PlacedRow[], void> {
  const trail = new Trail(list.order, after, inOrder);
  const search = new Search();
  let missing = wanted;
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
    const { joint, fresh } = trail.follow(rows, offset, overlap === 0);
    if (joint === null) {
      ({ offset, limit } = search.before(offset));
      continue;
    }
    if (fresh.length > 0) yield fresh;
    missing -= fresh.filter(({ row }) => !(row instanceof UnreadableTask)).length;
    if (missing <= 0 || rows.length < limit) return;
    const end = offset + rows.length;
    if (fresh.length === 0) {
      ({ offset, limit } = search.after(overlap === 0 ? end : joint));
      continue;
    }
    search.reset();
    repeated = overlap === 0 ? 0 : Math.min(end, trail.repeatedFrom(end, overlap), PAGE_LIMIT - 1);
    offset = end - repeated;
    limit = Math.min(PAGE_LIMIT, missing + repeated);
  }
  throw new UnfinishedWalk();
}

/** A walk was given up: the list is too long, or changes faster than it can be read. */
export class UnfinishedWalk extends GatewayError {
  constructor() {
    super(
      'UPSTREAM_UNAVAILABLE',
      'The list is longer, or changes faster, than it can be read here. Narrow the filter, or try again.',
    );
  }
}

/** What a walk has read, and which rows follow it. */
class Trail {
  readonly #order: TaskOrder | null;
  readonly #after: Cursor | null;
  readonly #inOrder: boolean;
  readonly #known = new Set<string>();
  /** How far the walk has come. */
  #position: { created: Instant; offset: number; ties: number } | null;
  /** Rows without an id that stood last. */
  #nameless = 0;

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
   * Takes in a page. `joint` is the offset of its last row that proves that no row is missing between
   * what was read and `fresh`; null where there is no proof, unless rows may be missing.
   */
  follow(
    rows: readonly Row[],
    offset: number,
    mayMiss: boolean,
  ): { joint: number | null; fresh: PlacedRow[] } {
    const isPassed = (row: Row) => this.#isKnown(row) || this.#isBefore(row, this.#position);
    // A known row of the position's own millisecond may have others before it that were not read.
    const isJoint = this.#keepsTies ? isPassed : (row: Row) => this.#isBefore(row, this.#position);
    const lastPassed = rows.findLastIndex(isPassed);
    const lastJoint = rows.findLastIndex(isJoint);
    if (lastJoint === -1 && offset > 0 && !mayMiss) return { joint: null, fresh: [] };
    const own = rows.findIndex(({ id }) => id === this.#after?.id);
    const start = this.#inOrder ? this.#position : this.#after;
    let skipped = 0;
    const fresh: PlacedRow[] = [];
    for (const [place, row] of rows.entries()) {
      const isFresh =
        row.id === null
          ? // All that is known of a row without an id is its place.
            place > lastPassed && skipped++ >= this.#nameless
          : !this.#isKnown(row) &&
            !this.#isBefore(row, start) &&
            (row instanceof UnreadableTask
              ? this.#after === null || place > lastPassed
              : place > own || !this.#keepsTies);
      if (isFresh) fresh.push({ row, offset: offset + place });
      if (isFresh && row.id !== null) this.#known.add(row.id);
    }
    for (const placed of fresh) this.#take(placed);
    return { joint: offset + Math.max(0, lastJoint), fresh };
  }

  /** More tasks share a millisecond than can be repeated: they are taken to keep their order. */
  get #keepsTies(): boolean {
    return this.#order === null || (this.#position?.ties ?? 0) >= MAX_TIES;
  }

  /** How many rows before that offset the next page has to repeat. */
  repeatedFrom(end: number, overlap: number): number {
    const { offset, ties } = this.#position ?? { offset: end - 1, ties: 0 };
    return Math.max(0, end - 1 - offset) + Math.max(overlap, Math.min(ties, MAX_TIES) + 2);
  }

  #take({ row, offset }: PlacedRow): void {
    if (row.id === null) {
      this.#nameless++;
      return;
    }
    if (row instanceof UnreadableTask) return;
    const before = this.#position;
    if (this.#isBefore(row, before)) return;
    this.#nameless = 0;
    const ties = before?.created === row.created ? before.ties + 1 : 0;
    this.#position = { created: row.created, offset, ties };
  }

  #isKnown({ id }: Row): boolean {
    if (id === null) return false;
    if (this.#known.has(id)) return true;
    return this.#after !== null && (id === this.#after.id || this.#after.ties.includes(tagOf(id)));
  }

  /** Whether the order places a row before that position, ties apart. */
  #isBefore(row: Row, position: { created: Instant } | null): boolean {
    if (position === null || this.#order === null || row instanceof UnreadableTask) return false;
    return this.#order === 'CREATED_ASC'
      ? row.created < position.created
      : row.created > position.created;
  }
}

/** Finds the offset at which a list that has shifted goes on. */
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
    // What was found before has shifted since.
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
    if (this.#high === Infinity) offset = this.#low + this.#grow() - (PAGE_LIMIT - OVERLAP);
    else if (this.#low === 0) offset = Math.max(0, this.#high - this.#grow());
    else if (gap > PAGE_LIMIT - OVERLAP) offset = this.#low + (gap >> 1);
    return { offset, limit: PAGE_LIMIT };
  }

  #grow(): number {
    const step = this.#step;
    this.#step *= 2;
    return step;
  }
}
