import { GatewayError } from '../errors.ts';
import type { TaskFilter, TaskOrder } from '../task/filter.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import type { Lists } from './lists.ts';
import type { ReadOptions } from './loader.ts';

// A screen does not show more tasks than this.
const MAX_IDS = 1_000;

/** Reads a page of a list, and the length of the list if `count` is set and upstream counts. */
export type ReadPage = (offset: number, limit: number, count: boolean) => Promise<TaskPage>;

/**
 * Reads pages of upstream's list. If the ids do not fit one URL, several lists are read and merged.
 * The filter has no creation date.
 */
export function pageReader(
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

/** The error for a filter that does not fit a request and cannot be split into parts that do. */
export function tooLong(): GatewayError {
  return new GatewayError(
    'BAD_USER_INPUT',
    'The filter is too long for one upstream request: use fewer or shorter values.',
  );
}
