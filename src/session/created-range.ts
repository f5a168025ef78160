import type { Cursor } from '../task/cursor.ts';
import type { CreatedRange, TaskOrder } from '../task/filter.ts';
import type { Instant } from '../task/task.ts';
import type { Bound } from './bound-search.ts';

/** A range of creation dates in a list of one order. */
export interface OrderedRange {
  /** Whether the order places this date before the range. */
  isBefore(created: Instant): boolean;
  /** Whether the order places this date after the range. */
  isPast(created: Instant): boolean;
  /**
   * The position just before the range, for a walk; null if the list begins with it. Its offset
   * comes from `find`, and a walk corrects it. `find` is not called where no task can be before the
   * range.
   */
  start(now: Instant, find: (date: Instant) => Promise<Bound>): Promise<Cursor | null>;
}

export function toOrderedRange(range: CreatedRange | undefined, order: TaskOrder): OrderedRange {
  const { gte = -Infinity, lt = Infinity } = range ?? {};
  const isAscending = order === 'CREATED_ASC';
  return {
    isBefore: created => (isAscending ? created < gte : created >= lt),
    isPast: created => (isAscending ? created >= lt : created < gte),
    async start(now, find) {
      const first = isAscending ? gte : lt;
      if (!Number.isFinite(first)) return null;
      // An id that no task has: every task of this millisecond comes after it.
      const position = { order, created: isAscending ? gte : lt - 1, id: '', ties: [] };
      if (!isAscending && lt > now) return { ...position, offset: 0 };
      const { offset, total } = await find(first);
      if (isAscending) return { ...position, offset };
      // Without a count the walk begins at the top, and finds the place by itself.
      return { ...position, offset: total === null ? 0 : Math.max(0, total - offset) };
    },
  };
}
