import DataLoader from 'dataloader';
import { GatewayError } from '../errors.ts';
import type { TaskPage } from '../upstream/endpoints.ts';
import { type TaskQuery, toQueryString } from '../upstream/query.ts';
import { groupBy } from './group-by.ts';
import type { Lists } from './lists.ts';
import type { ReadOptions } from './loader.ts';
import { abortable, whenAllAbort } from './shared-request.ts';

interface PageRequest {
  query: TaskQuery;
  options: ReadOptions;
  /** The same for all pages, and the count, of one list. */
  listKey: string;
}

type Outcomes = Map<PageRequest, TaskPage | Error>;

/**
 * Joins what is asked of one list at the same moment: equal pages, and its count with one of its pages.
 *
 * Upstream counts the whole list, whichever page is asked for. So a count needs a request of its own only
 * where no page of the list is read anyway.
 */
export function createJoinedCounts(lists: Lists): Lists {
  // Dispatches once every resolver that can run has run.
  const loader = new DataLoader<PageRequest, TaskPage>(readBatch, { cache: false });

  return {
    ...lists,
    async page(query, options = {}) {
      options.signal?.throwIfAborted();
      // Here and not in the batch, where a value that no filter can hold would fail the others too.
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
      request => outcomes.get(request) ?? new Error('The page was not read: its caller has left.'),
    );
  }

  /** Reads for requests of one list. Its counts are taken from the carrier, a page that is read anyway. */
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
        const page = await readPage(requests, query);
        // Upstream may refuse to count a list of which it returns pages.
        if (query === carrier && page instanceof GatewayError && page.code === 'BAD_USER_INPUT')
          return readGroup(requests, null, outcomes);
        for (const request of requests) outcomes.set(request, page);
      }),
    );
  }

  async function readPage(
    requests: readonly PageRequest[],
    query: TaskQuery,
  ): Promise<TaskPage | Error> {
    const callers = whenAllAbort(requests.map(({ options }) => options.signal));
    try {
      return await lists.page(query, { ...requests[0]?.options, signal: callers.signal });
    } catch (error) {
      return error instanceof Error ? error : new Error('A page failed.', { cause: error });
    } finally {
      callers.close();
    }
  }
}

/** The page on which the counts of the group can travel; null if there is none, or nothing to count. */
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

/** A count is the same in either order, so equal counts make equal requests. */
function toQuery(query: TaskQuery): TaskQuery {
  if (!isCount(query)) return query;
  return { ...(query.filter && { filter: query.filter }), limit: 0, count: true };
}
