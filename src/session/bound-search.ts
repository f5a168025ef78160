import { LRUCache } from 'lru-cache';
import type { Clock } from '../clock.ts';
import type { Instant } from '../task/task.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { UnfinishedWalk } from '../upstream/list-walk.ts';
import { UnreadableTask } from '../upstream/wire.ts';

/** Where a creation date stands in a list, oldest first. */
export interface Bound {
  /** How many rows were created before the date. */
  offset: number;
  /** The length of the list at the same moment; null if upstream does not count. */
  total: number | null;
}

/** Reads a page of a list, oldest first, and counts the list. */
export type FetchCounted = (offset: number, limit: number) => Promise<TaskPage>;

/** Finds where creation dates stand in the lists of one credential. */
export interface BoundSearch {
  /**
   * `list` names the list: what was read of it makes the next search short. Throws
   * UPSTREAM_UNAVAILABLE if the list changes faster than it can be searched.
   */
  find(list: string, date: Instant, fetchPage: FetchCounted): Promise<Bound>;
}

/** The creation date of the row at this index. */
interface Point {
  index: number;
  created: Instant;
}

/**
 * Rows of one probe: enough that an estimate need not be exact, few enough to cost upstream little.
 */
export const PROBE_LIMIT = 50;
const MAX_REQUESTS = 40;
const MAX_LISTS = 20;
const MAX_POINTS = 64;
const BEFORE_ALL: Point = { index: -1, created: -Infinity };
const AFTER_ALL: Point = { index: Infinity, created: Infinity };

/**
 * Upstream cannot filter by date, but its lists are ordered by it. The search estimates the place
 * of a date from the known dates on both sides of it, and reads a small page there. Where an
 * estimate did not halve the gap, it halves it. It ends at a page that has rows on both sides of
 * the date, which proves the place whatever was assumed before.
 *
 * The search runs oldest first, because new tasks then move no row. Dates that were read before are
 * kept. Rows that have moved since contradict them, and the search then goes on from what it has
 * just read.
 */
export function createBoundSearch(clock: Pick<Clock, 'now'>): BoundSearch {
  const known = new LRUCache<string, Point[]>({ max: MAX_LISTS });
  return {
    async find(list, date, fetchPage) {
      const search = new Search(date, known.get(list) ?? [], clock.now());
      for (let requests = 0; requests < MAX_REQUESTS; requests++) {
        const { offset } = search;
        const page = await fetchPage(offset, PROBE_LIMIT);
        const found = search.follow(page, offset);
        known.set(list, search.points.slice(-MAX_POINTS));
        if (found !== null) return { offset: found, total: page.total };
      }
      throw new UnfinishedWalk();
    },
  };
}

class Search {
  /** The offset of the next page. */
  offset: number;
  points: Point[];
  readonly #date: Instant;
  readonly #now: Instant;
  #low: Point;
  #high: Point;
  #total: number | null = null;
  #gap = Infinity;
  #step = 0;

  constructor(date: Instant, points: readonly Point[], now: Instant) {
    this.#date = date;
    this.#now = now;
    this.points = [...points];
    this.#low = points.filter(point => point.created < date).reduce(later, BEFORE_ALL);
    this.#high = points.filter(point => point.created >= date).reduce(earlier, AFTER_ALL);
    this.offset = this.#next();
  }

  /**
   * Takes in the page at this offset. Returns the place of the date if the page proves it, else
   * null.
   */
  follow({ rows, total }: TaskPage, offset: number): number | null {
    this.#total = total;
    const seen = rows.flatMap((row, place) =>
      row instanceof UnreadableTask ? [] : [{ index: offset + place, created: row.created }],
    );
    const [first = null, last = null] = [seen.at(0), seen.at(-1)];
    const next = seen.find(({ created }) => created >= this.#date);
    const hasEarlier = first !== null && first !== next;
    const end = offset + rows.length;
    if (rows.length === 0 || (next && !hasEarlier))
      this.#goBefore(first ?? { ...AFTER_ALL, index: offset }, offset);
    else if (!next) this.#goAfter(last ?? { ...this.#low, index: end - 1 }, end);
    if (first && last) this.#remember(first, last);

    const isAtEnd = rows.length < PROBE_LIMIT && (rows.length > 0 || offset === 0);
    if (next && (hasEarlier || offset === 0)) return hasEarlier ? next.index : 0;
    if (!next && isAtEnd) return end;
    this.offset = this.#next();
    return null;
  }

  /** The date is before a page that starts at this offset. */
  #goBefore(first: Point, start: number): void {
    this.#high = first;
    if (this.#low.index < start) return;
    this.#low = BEFORE_ALL;
    this.points = [];
  }

  /** The date is after a page that ends before this offset. */
  #goAfter(last: Point, end: number): void {
    this.#low = last;
    if (this.#high.index >= end) return;
    this.#high = AFTER_ALL;
    this.points = [];
  }

  #remember(...points: Point[]): void {
    const isOther = ({ created }: Point) => points.every(point => point.created !== created);
    this.points = [...this.points.filter(isOther), ...points];
  }

  #next(): number {
    const low = this.#low;
    const high =
      this.#high === AFTER_ALL && this.#total !== null
        ? { ...AFTER_ALL, index: this.#total }
        : this.#high;
    const gap = high.index - low.index;
    const isHalved = gap <= this.#gap / 2;
    this.#gap = gap;
    if (gap < PROBE_LIMIT) return Math.max(0, low.index);
    if (low === BEFORE_ALL && high.index === Infinity) return 0;
    if (high.index === Infinity) return Math.max(0, low.index) + this.#grow();
    const last = high.index - PROBE_LIMIT + 1;
    if (low === BEFORE_ALL) return Math.max(0, last - this.#grow());
    const span = Math.min(high.created, Math.max(this.#now, this.#date)) - low.created;
    const share = isHalved && span > 0 ? (this.#date - low.created) / span : 0.5;
    const estimate = Math.round(low.index + share * gap) - (PROBE_LIMIT >> 1);
    return Math.max(0, low.index, Math.min(last, estimate));
  }

  /** 0 at first: what is known is seldom far away. */
  #grow(): number {
    const step = this.#step;
    this.#step = step * 2 || PROBE_LIMIT;
    return step;
  }
}

function later(one: Point, other: Point): Point {
  return other.index > one.index ? other : one;
}

function earlier(one: Point, other: Point): Point {
  return other.index < one.index ? other : one;
}
