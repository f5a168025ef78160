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

/** The Task Status REST API, typed: its endpoints, and reads that combine several requests. */
export interface TaskStatusApi extends Pick<Endpoints, 'list' | 'byId' | 'update' | 'aggregation'> {
  /** The tasks with these ids that exist, running or not, in as few requests as possible. */
  byIds(ids: readonly string[], options?: CallOptions): Promise<Map<string, Row>>;
  /**
   * All tasks without a completion status that match the filter, except for its conditions on the
   * status.
   */
  running(filter: TaskFilter, options?: CallOptions): Promise<Row[]>;
  /**
   * Running tasks that lists omit; none on versions whose lists include them. Ignores the filter's
   * conditions on the status.
   */
  unlisted(filter: TaskFilter, options?: CallOptions): Promise<Row[]>;
  /** The order of `runningPage`, in which new tasks come last; null if upstream promises none. */
  readonly runningOrder: TaskOrder | null;
  /** A page of all running tasks, from this offset. */
  runningPage(offset: number, count: boolean, options?: CallOptions): Promise<TaskPage>;
  /**
   * The tasks with these ids that are on the list. On versions whose lists omit running tasks,
   * those are missing.
   */
  listed(ids: readonly string[], options?: CallOptions): Promise<Row[]>;
  /** Takes a slot of the budget before the request is known. */
  reserve(options: ReserveOptions): Promise<Slot>;
  /** The part of the request budget that is spent, 0–1. */
  pressure(): number;
  /** Whether lists include running tasks. */
  readonly listsRunning: boolean;
  /** How many ids of upstream's usual length one request holds. */
  readonly idsPerRequest: number;
  /** Whether a list with this query fits the longest request target. */
  fits(query: TaskQuery): boolean;
}

export interface ApiParts extends EndpointsParts {
  maxUrlBytes: number;
}

// A proxy that refuses less than this would refuse every request.
const MIN_URL_BYTES = 500;
// An id of upstream in a URL, with its quotes and comma.
const ID_BYTES = 41;

/** How many ids a request target of so many bytes holds, at most a page of them. */
export function idsPerRequest(urlBytes: number): number {
  return Math.max(1, Math.min(PAGE_LIMIT, Math.floor(urlBytes / ID_BYTES)));
}

/** `maxUrlBytes` bounds the request target of `id in (…)`; it shrinks when upstream answers 414. */
export function createApi({ maxUrlBytes, ...parts }: ApiParts): TaskStatusApi {
  const { requests, version } = parts;
  const { listsRunning } = VERSION_RULES[version];
  const { list, pending, byId, update, aggregation, targetBytes } = createEndpoints(parts);
  const bareBytes = targetBytes({ filter: { ids: ['', ''] }, limit: PAGE_LIMIT });
  // The number of pages of `pending-tasks` when it was last read, on versions whose lists omit
  // running tasks.
  let pendingPages = 1;
  // Less than configured after a 414.
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
    const requested = new Set(ids);
    // Upstream may ignore the filter: drop rows that were not requested.
    const keep = (row: Row) => row.id !== null && requested.has(row.id) && found.set(row.id, row);
    const isMissing = (id: string) => !found.has(id);
    const next = slotOnce(options);

    if (!listsRunning) {
      const inBulk = pendingPages + cut([...requested]).length;
      if (requested.size <= inBulk) return oneByOne([...requested], next);
      // Read before the list: a task that ends between the two reads is then on the list.
      (await pendingTasks(next)).forEach(keep);
    }
    (await listByIds([...requested].filter(isMissing), next)).forEach(keep);
    // Upstream promises no order of `pending-tasks`, so a running task may be missing from all of
    // several pages.
    if (!listsRunning && pendingPages > 1)
      for (const row of (await oneByOne([...requested].filter(isMissing), next)).values())
        keep(row);
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
        // Halve the refused length, not the limit: several requests may be refused at once.
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

  /** Reads each task with its own request. A task that cannot be read does not fail the others. */
  async function oneByOne(ids: readonly string[], next: NextOptions): Promise<Map<string, Row>> {
    const rows = await Promise.all(
      ids.map(id =>
        byId(id, next()).catch((error: unknown) => {
          // A refused token affects every task.
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
        `Version ${version} of the Task Status API cannot filter running tasks by definitionType.`,
      );
    checkExpressible(lastingPartOf(filter), version);
    // `pending-tasks` takes no filter. `sourceId` matches the id of a task's target.
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

  /** All rows of a list, without duplicates. */
  async function allRows(list: WalkedList): Promise<Row[]> {
    const rows: Row[] = [];
    for await (const page of walkList(list)) rows.push(...page.map(({ row }) => row));
    return rows;
  }

  function cut(ids: readonly string[]): string[][] {
    return cutByUrl(ids, urlBytes, bareBytes);
  }
}

/** The options of successive requests. Only the first uses the reserved slot. */
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
