import { type Filters, NO_FILTERS, PERIODS } from './filters.ts';
import type { Phase } from './task-feed.ts';

/** What stands in place of an empty list, and what to do about it. */
export function emptyTextOf(phase: Phase, filters: Filters): string {
  if (phase === 'loading') return 'Loading…';
  // Of other phases, it is not known whether any task matches.
  if (phase !== 'live' && phase !== 'finished') return '';
  const { period } = filters;
  const { period: _, from: _from, to: _to, ...others } = NO_FILTERS;
  if (Object.keys(others).some(name => filters[name as keyof Filters] !== ''))
    return 'No task matches. Widen the filters above.';
  if (period === 'all') return 'The tenant has no tasks yet. A new one appears here by itself.';
  const label = PERIODS[period]?.label.toLowerCase();
  return label === undefined
    ? 'No task was created in this range. Choose another above.'
    : `No task was created in the ${label}. Choose a longer time above, or wait for a new one.`;
}
