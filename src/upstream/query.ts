import { GatewayError } from '../errors.ts';
import type { TaskFilter, TaskOrder } from '../task/filter.ts';

/** The query parameters of a GET on the collection. */
export interface TaskQuery {
  filter?: TaskFilter;
  order?: TaskOrder;
  /** 0–250. */
  limit?: number;
  offset?: number;
  count?: boolean;
}

/** Upstream's largest page. */
export const PAGE_LIMIT = 250;

/** The longest value in a filter, in characters. Upstream's ids have at most 36. */
export const MAX_VALUE_LENGTH = 256;

/** The query string without the question mark; empty if there are no parameters. */
export function toQueryString({ filter, order, limit, offset, count }: TaskQuery): string {
  const filters = filter === undefined ? '' : toFilterExpression(filter);
  const pairs: [string, string | number][] = [];
  if (filters !== '') pairs.push(['filters', filters]);
  if (order !== undefined)
    pairs.push(['sorters', order === 'CREATED_ASC' ? 'created' : '-created']);
  if (limit !== undefined) pairs.push(['limit', limit]);
  if (offset !== undefined && offset > 0) pairs.push(['offset', offset]);
  if (count) pairs.push(['count', 'true']);
  return pairs.map(([name, value]) => `${name}=${encode(String(value))}`).join('&');
}

/**
 * The filter in upstream's syntax; empty if it has no condition. Throws a RangeError for a creation
 * date, which upstream cannot filter by.
 */
export function toFilterExpression(filter: TaskFilter): string {
  if (filter.created !== undefined)
    throw new RangeError('A creation date cannot be asked of upstream.');
  const conditions = [
    anyOf('id', filter.ids),
    anyOf('sourceId', filter.sourceIds),
    anyOf('type', filter.definitionTypes),
    anyOf('launcher', filter.launchers),
    anyOf('completionStatus', filter.completionStatuses),
    nullCondition('completionStatus', filter.completionStatusIsNull),
  ];
  return conditions.filter(condition => condition !== null).join(' and ');
}

/**
 * Splits ids into lists that each fit a page and a request target of `maxUrlBytes`. `spareBytes` is
 * the length of the rest of the target.
 */
export function cutByUrl(
  ids: readonly string[],
  maxUrlBytes: number,
  spareBytes: number,
): string[][] {
  const cuts: string[][] = [];
  let room = 0;
  for (const id of ids) {
    const bytes = encode(`${quote(id)},`).length;
    const cut = cuts.at(-1);
    if (cut !== undefined && bytes <= room && cut.length < PAGE_LIMIT) {
      cut.push(id);
      room -= bytes;
    } else {
      cuts.push([id]);
      room = maxUrlBytes - spareBytes - bytes;
    }
  }
  return cuts;
}

function anyOf(property: string, values: readonly string[] | undefined): string | null {
  if (values === undefined) return null;
  const [first, ...others] = values.map(quote);
  if (first === undefined)
    throw new RangeError(`A filter on ${property} needs at least one value.`);
  return others.length === 0
    ? `${property} eq ${first}`
    : `${property} in (${[first, ...others].join(',')})`;
}

function nullCondition(property: string, isNull: boolean | undefined): string | null {
  if (isNull === undefined) return null;
  return isNull ? `${property} isnull` : `not (${property} isnull)`;
}

/** Throws BAD_USER_INPUT for a value that a filter cannot hold. */
export function checkValue(value: string): void {
  // A lone surrogate cannot be encoded as UTF-8, so upstream would receive another value.
  if (value.isWellFormed() && value.length <= MAX_VALUE_LENGTH) return;
  throw new GatewayError(
    'BAD_USER_INPUT',
    `An id or filter value must be well-formed text of at most ${MAX_VALUE_LENGTH} characters.`,
  );
}

function quote(value: string): string {
  checkValue(value);
  return `"${value.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * Percent-encodes a value except for commas, which are legal in a query and frequent in lists of
 * ids.
 */
function encode(value: string): string {
  return encodeURIComponent(value).replaceAll('%2C', ',');
}
