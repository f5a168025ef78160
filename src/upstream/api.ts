import { GatewayError } from '../errors.ts';
import type { Slot } from '../fleet/fleet.ts';
import { type TaskFilter, type TaskOrder, lastingPartOf } from '../task/filter.ts';
import {
  type CallOptions,
  type Endpoints,
  type EndpointsParts,
  type TaskPage,
  createEndpoints,
} from './endpoints.ts';
import { type WalkedList, walkList } from './list-walk.ts';
import { PAGE_LIMIT, type TaskQuery, cutByUrl } from './query.ts';
import type { ReserveOptions } from './request.ts';
import { VERSION_RULES, checkExpressible } from './versions.ts';
import { type Row, UnreadableTask } from './wire.ts';

/** The Task Status REST API, typed: its endpoints, and what is read from several of them. */
export interface TaskStatusApi extends Pick<Endpoints, 'list' | 'byId' | 'update' | 'aggregation'> {
  /** The tasks of these ids that exist, whether they run or not, in as few requests as can be. */
  byIds(ids: readonly string[], options?: CallOptions): Promise<Map<string, Row>>;
  /** Every task without a completion status, of those that the lasting part of a filter leaves. */
  running(filter: TaskFilter, options?: CallOptions): Promise<Row[]>;
  /** Running tasks that lists do not hold: none on versions whose lists hold them. The filter's status is not regarded. */
  unlisted(filter: TaskFilter, options?: CallOptions): Promise<Row[]>;
  /** The order of `runningPage`, which keeps new tasks to the end; null where upstream promises none. */
  readonly runningOrder: TaskOrder | null;
  /** A page of all running tasks, from this offset. */
  runningPage(offset: number, count: boolean, options?: CallOptions): Promise<TaskPage>;
  /** Those of these ids that are on the list: on versions that list only what has ended, no others. */
  listed(ids: readonly string[], options?: CallOptions): Promise<Row[]>;
  /** A place in the budget, taken before it is known what will be asked. */
  reserve(options: ReserveOptions): Promise<Slot>;
  /** The part of the request budget that is spent, 0–1. */
  pressure(): number;
  /** Whether lists hold running tasks too. */
  readonly listsRunning: boolean;
  /** How many ids of upstream's usual length one request holds. */
  readonly idsPerRequest: number;
  /** Whether a list with this query fits the longest request target. */
  fits(query: TaskQuery): boolean;
}

export interface ApiParts extends EndpointsParts {
  maxUrlBytes: number;
}

// Whatever refuses less than this refuses everything.
const MIN_URL_BYTES = 500;
// An id of upstream's as it stands in a URL, its quotes and comma included.
const ID_BYTES = 41;

/** Ids that a request target of so many bytes holds, and at most those of a page. */
export function idsPerRequest(urlBytes: number): number {
  return Math.max(1, Math.min(PAGE_LIMIT, Math.floor(urlBytes / ID_BYTES)));
}

export function createApi({ maxUrlBytes, ...parts }: ApiParts): TaskStatusApi {
  const { requests, version } = parts;
  const { listsRunning } = VERSION_RULES[version];
  const { list, pending, byId, update, aggregation, targetBytes } = createEndpoints(parts);
  const bareBytes = targetBytes({ filter: { ids: ['', ''] }, limit: PAGE_LIMIT });
  // Where lists hold no running tasks: how many pages `pending-tasks` had when it was last read.
  let pendingPages = 1;
  // Less than configured once something on the way upstream has refused that much.
  let urlBytes = maxUrlBytes;

  return {
    list,
    byIds,
    running,
    unlisted: async (filter, options) => (listsRunning ? [] : running(filter, options)),
    runningOrder: listsRunning ? 'CREATED_ASC' : null,
    runningPage,
    listed: (ids, options = {}) => listByIds(ids, slotOnce(options)),
    byId,
    update,
    aggregation,
    fits: query => targetBytes(query) <= urlBytes,
    reserve: options => requests.reserve(options),
    pressure: () => requests.pressure(),
    listsRunning,
    get idsPerRequest() {
      return idsPerRequest(urlBytes - bareBytes);
    },
  };

  async function byIds(
    ids: readonly string[],
    options: CallOptions = {},
  ): Promise<Map<string, Row>> {
    const found = new Map<string, Row>();
    const wanted = new Set(ids);
    // Rows that nobody asked for are not let in, whatever upstream took the filter to mean.
    const keep = (row: Row) => row.id !== null && wanted.has(row.id) && found.set(row.id, row);
    const isMissing = (id: string) => !found.has(id);
    const next = slotOnce(options);

    if (!listsRunning) {
      const inBulk = pendingPages + cut([...wanted]).length;
      if (wanted.size <= inBulk) return oneByOne([...wanted], next);
      // Before the list and not after it: a task that ends between the two is then on the list.
      (await pendingTasks(next)).forEach(keep);
    }
    (await listByIds([...wanted].filter(isMissing), next)).forEach(keep);
    // Of several pages in an order nobody promises, a running task may have been on none.
    if (!listsRunning && pendingPages > 1)
      for (const row of (await oneByOne([...wanted].filter(isMissing), next)).values()) keep(row);
    return found;
  }

  async function listByIds(ids: readonly string[], next: NextOptions): Promise<Row[]> {
    const pages = cut(ids).map(async cutIds => {
      const query = { filter: { ids: cutIds }, limit: PAGE_LIMIT };
      try {
        const { rows } = await list(query, next());
        return rows;
      } catch (error) {
        if (!isUriTooLong(error) || cutIds.length === 1) throw error;
        // Half of what was refused, and not of what is allowed: many may be refused at once.
        urlBytes = Math.max(MIN_URL_BYTES, Math.min(urlBytes, targetBytes(query) >> 1));
        const half = cutIds.length >> 1;
        const halves = await Promise.all(
          [cutIds.slice(0, half), cutIds.slice(half)].map(some => listByIds(some, next)),
        );
        return halves.flat();
      }
    });
    return (await Promise.all(pages)).flat();
  }

  /** By id, a request each. A task that cannot be read does not fail the others. */
  async function oneByOne(ids: readonly string[], next: NextOptions): Promise<Map<string, Row>> {
    const rows = await Promise.all(
      ids.map(id =>
        byId(id, next()).catch((error: unknown) => {
          // A refused token concerns every task.
          if (!(error instanceof GatewayError) || error.code === 'UNAUTHENTICATED') throw error;
          return new UnreadableTask(id, error);
        }),
      ),
    );
    return new Map(ids.flatMap((id, place) => (rows[place] ? [[id, rows[place]] as const] : [])));
  }

  async function running(filter: TaskFilter, options: CallOptions = {}): Promise<Row[]> {
    if (listsRunning) {
      const query = {
        filter: { ...filter, completionStatusIsNull: true },
        order: 'CREATED_ASC',
      } as const;
      return allRows({
        order: query.order,
        fetchPage: async (offset, limit) => (await list({ ...query, offset, limit }, options)).rows,
      });
    }
    if (filter.definitionTypes !== undefined)
      throw new GatewayError(
        'BAD_USER_INPUT',
        `Version ${version} of the Task Status API cannot tell the running tasks of a definitionType.`,
      );
    checkExpressible(lastingPartOf(filter), version);
    // `pending-tasks` takes no filter. A task's target is the source that `sourceId` means.
    const { ids, sourceIds } = filter;
    return (await pendingTasks(slotOnce(options))).filter(
      row =>
        row instanceof UnreadableTask ||
        ((ids?.includes(row.id) ?? true) && (sourceIds?.includes(row.target?.id ?? '') ?? true)),
    );
  }

  async function runningPage(
    offset: number,
    count: boolean,
    options: CallOptions = {},
  ): Promise<TaskPage> {
    const query = { limit: PAGE_LIMIT, offset, count };
    if (!listsRunning) return pending(query, options);
    return list(
      { ...query, filter: { completionStatusIsNull: true }, order: 'CREATED_ASC' },
      options,
    );
  }

  async function pendingTasks(next: NextOptions): Promise<Row[]> {
    const rows = await allRows({
      order: null,
      fetchPage: async (offset, limit) => (await pending({ limit, offset }, next())).rows,
    });
    pendingPages = Math.max(1, Math.ceil(rows.length / PAGE_LIMIT));
    return rows;
  }

  /** All rows of a list, none twice. */
  async function allRows(list: WalkedList): Promise<Row[]> {
    const rows: Row[] = [];
    for await (const page of walkList(list)) rows.push(...page.map(({ row }) => row));
    return rows;
  }

  function cut(ids: readonly string[]): string[][] {
    return cutByUrl(ids, urlBytes, bareBytes);
  }
}

/** Options for one request after another: a reserved slot is for the first of them. */
type NextOptions = () => CallOptions;

function slotOnce({ slot, ...options }: CallOptions): NextOptions {
  let reserved = slot;
  return () => {
    const own = reserved;
    reserved = undefined;
    return { ...options, slot: own };
  };
}

function isUriTooLong(error: unknown): boolean {
  return error instanceof GatewayError && error.extensions.upstream?.status === 414;
}
