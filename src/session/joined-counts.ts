import DataLoader from 'dataloader';
import { GatewayError } from '../errors.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { type TaskQuery, toQueryString } from '../upstream/query.ts';
import { groupBy } from './group-by.ts';
import { type Lists, readForAll } from './lists.ts';
import type { ReadOptions } from './loader.ts';
import { abortable } from './shared-request.ts';

interface PageRequest {
  query: TaskQuery;
  options: ReadOptions;
  /** Equal for all pages of one list, and for its count. */
  listKey: string;
}

type Outcomes = Map<PageRequest, TaskPage | Error>;

/**
 * Joins requests for one list that are made at the same time: equal pages, and the count with a
 * page.
 *
 * Upstream can count the list in the answer to any of its pages. A count needs its own request only
 * if no page of that list is requested.
 */
export function createJoinedCounts(lists: Lists): Lists {
  // DataLoader dispatches once all resolvers that are ready have run.
  const loader = new DataLoader<PageRequest, TaskPage>(readBatch, { cache: false });

  return {
    ...lists,
    async page(query, options = {}) {
      options.signal?.throwIfAborted();
      // Throws here for a value that no filter can hold. In the batch it would fail the other
      // requests too.
      const listKey = `${options.isFresh ?? false} ${toQueryString({ filter: query.filter ?? {} })}`;
      return abortable(loader.load({ query, options, listKey }), options.signal);
    },
  };

  async function readBatch(requests: readonly PageRequest[]): Promise<(TaskPage | Error)[]> {
    const outcomes: Outcomes = new Map();
    const wanted = requests.filter(({ options }) => !options.signal?.aborted);
    const groups = groupBy(wanted, ({ listKey }) => listKey);
    await Promise.all(groups.map(group => readGroup(group, carrierOf(group), outcomes)));
    return requests.map(
      request =>
        outcomes.get(request) ??
        new Error('The page was not read because its caller disconnected.'),
    );
  }

  /**
   * Reads requests for one list. Counts are read with `carrier`, a page of it that is requested
   * anyway.
   */
  async function readGroup(
    group: readonly PageRequest[],
    carrier: TaskQuery | null,
    outcomes: Outcomes,
  ): Promise<void> {
    const queryOf = ({ query }: PageRequest) =>
      carrier !== null && (isCount(query) || isSamePage(query, carrier)) ? carrier : toQuery(query);
    const equals = groupBy(group, request => toQueryString(queryOf(request)));
    await Promise.all(
      equals.map(async requests => {
        const query = queryOf(requests[0] as PageRequest);
        const page = await readForAll(
          lists,
          query,
          requests.map(({ options }) => options),
        );
        // Upstream may refuse to count the list even though it returns the page.
        if (query === carrier && page instanceof GatewayError && page.code === 'BAD_USER_INPUT')
          return readGroup(requests, null, outcomes);
        for (const request of requests) outcomes.set(request, page);
      }),
    );
  }
}

/**
 * The page with which the counts of the group can be read. Null if the group has no page or no
 * count.
 */
function carrierOf(group: readonly PageRequest[]): TaskQuery | null {
  const pages = group.map(({ query }) => query).filter(query => !isCount(query));
  const page = pages.find(({ count }) => count) ?? pages[0];
  return page === undefined || pages.length === group.length ? null : { ...page, count: true };
}

function isCount({ limit, count }: TaskQuery): boolean {
  return limit === 0 && count === true;
}

function isSamePage(one: TaskQuery, other: TaskQuery): boolean {
  return toQueryString({ ...one, count: true }) === toQueryString({ ...other, count: true });
}

/**
 * The query to send. A count does not depend on the order, so counts of one list have the same
 * query.
 */
function toQuery(query: TaskQuery): TaskQuery {
  if (!isCount(query)) return query;
  return { ...(query.filter && { filter: query.filter }), limit: 0, count: true };
}
