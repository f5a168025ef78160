import { GatewayError } from '../errors.ts';
import type { TaskFilter, TaskOrder } from '../task/filter.ts';

/** What a GET of the collection can say. */
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

/** The longest text that may stand in a filter: upstream's ids have 36 characters at the most. */
export const MAX_VALUE_LENGTH = 256;

/** The query string, without its question mark; empty where nothing is asked for. */
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
 * The filter in upstream's grammar; empty where it sets no condition. Throws a RangeError for a creation
 * date, for which upstream has no words.
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
    nullness('completionStatus', filter.completionStatusIsNull),
  ];
  return conditions.filter(condition => condition !== null).join(' and ');
}

/**
 * Cuts ids into lists that each fit a request target of `maxUrlBytes`, and a page.
 * `spareBytes` is what the rest of the target takes.
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
    throw new RangeError(`An empty list for ${property} cannot be asked of upstream.`);
  return others.length === 0
    ? `${property} eq ${first}`
    : `${property} in (${[first, ...others].join(',')})`;
}

function nullness(property: string, isNull: boolean | undefined): string | null {
  if (isNull === undefined) return null;
  return isNull ? `${property} isnull` : `not (${property} isnull)`;
}

/** Throws BAD_USER_INPUT for a text that no filter can hold. */
export function checkValue(value: string): void {
  // A lone surrogate has no UTF-8: what arrived would be another text than the one asked for.
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

/** Percent-encodes a value, sparing the comma: it is legal there, and there is one for each id. */
function encode(value: string): string {
  return encodeURIComponent(value).replaceAll('%2C', ',');
}
