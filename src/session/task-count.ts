import { type TaskFilter, matchesNothing, upstreamPartOf } from '../task/filter.ts';
import type { Instant } from '../task/task.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import type { Bound, BoundSearch } from './bound-search.ts';
import type { Lists } from './lists.ts';
import type { ReadOptions } from './loader.ts';
import { pageReader } from './page-reader.ts';

export interface CountParts {
  lists: Pick<Lists, 'page' | 'fits'>;
  bounds: BoundSearch;
}

// How often the bounds of a range are read again while the list changes in between.
const MAX_ROUNDS = 3;

/**
 * How many tasks match, unreadable ones included; null if upstream does not count. A range of
 * creation dates is counted by searching its bounds: some requests for the first time, one or two
 * for a range nearby.
 */
export async function countTasks(
  parts: CountParts,
  filter: TaskFilter,
  options: ReadOptions,
): Promise<number | null> {
  if (matchesNothing(filter)) return 0;
  const { gte, lt } = filter.created ?? {};
  // Bounds are remembered for longer than answers.
  if (filter.created !== undefined) for (const usage of options.usages ?? []) usage.markUnique();
  const find = boundFinder(parts, filter, options);
  if (gte !== undefined && lt !== undefined) return countBetween(gte, lt, find);
  if (lt !== undefined) return (await find(lt)).offset;
  if (gte !== undefined) {
    const { offset, total } = await find(gte);
    return total === null ? null : Math.max(0, total - offset);
  }
  const readPage = pageReader(parts.lists, filter, 'CREATED_DESC', options);
  // If upstream does not count, a page that is not full still gives the total.
  return (await readPage(0, 0, true)).total ?? (await readPage(0, PAGE_LIMIT, true)).total;
}

/** Searches the list of a filter, whose creation dates are not regarded, for a date. */
export function boundFinder(
  { lists, bounds }: CountParts,
  filter: TaskFilter,
  options: ReadOptions,
): (date: Instant) => Promise<Bound> {
  const listed = upstreamPartOf(filter);
  const readPage = pageReader(lists, listed, 'CREATED_ASC', options);
  return date =>
    bounds.find(JSON.stringify(listed), date, (offset, limit) => readPage(offset, limit, true));
}

async function countBetween(
  gte: Instant,
  lt: Instant,
  find: (date: Instant) => Promise<Bound>,
): Promise<number> {
  let first = await find(gte);
  for (let round = 1; ; round++) {
    const end = await find(lt);
    const count = Math.max(0, end.offset - first.offset);
    // Nothing was added or removed between the two.
    if (first.total === end.total || round === MAX_ROUNDS) return count;
    const again = await find(gte);
    if (again.offset === first.offset) return count;
    first = again;
  }
}
