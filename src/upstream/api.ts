import { GatewayError } from '../errors.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { Lane } from './admission/lanes.ts';
import {
  type CallOptions,
  type Endpoints,
  type EndpointsParts,
  type TaskPage,
  createEndpoints,
} from './endpoints.ts';
import { PAGE_LIMIT, type TaskQuery, cutByUrl } from './query.ts';
import { VERSION_RULES, checkExpressible } from './versions.ts';
import { type Row, UnreadableTask } from './wire.ts';

/** The Task Status REST API, typed: its endpoints, and what is read from several of them. */
export interface TaskStatusApi extends Pick<Endpoints, 'list' | 'byId' | 'update'> {
  /** The tasks of these ids that exist, whether they run or not, in as few requests as can be. */
  byIds(ids: readonly string[], options?: CallOptions): Promise<Map<string, Row>>;
  /** Every task without a completion status, of those that the lasting part of a filter leaves. */
  running(filter: TaskFilter, options?: CallOptions): Promise<Row[]>;
  /** A page of all running tasks, from this offset, in an order that keeps new ones to the end. */
  runningPage(offset: number, count: boolean, options?: CallOptions): Promise<TaskPage>;
  /** Those of these ids that are on the list: on versions that list only what has ended, no others. */
  listed(ids: readonly string[], options?: CallOptions): Promise<Row[]>;
  /** A place in the budget, taken before it is known what will be asked. */
  reserve(options: { lane: Lane; signal?: AbortSignal | undefined }): Promise<Slot>;
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

// Between two pages tasks end and rows move up: each page begins with some of the last one's rows.
const PAGE_OVERLAP = 25;
const MAX_PAGES = 400;
// Whatever refuses less than this refuses everything.
const MIN_URL_BYTES = 500;
// An id of upstream's as it stands in a URL, its quotes and comma included.
const ID_BYTES = 41;

export function createApi({ maxUrlBytes, ...parts }: ApiParts): TaskStatusApi {
  const { requests, version } = parts;
  const { listsRunning } = VERSION_RULES[version];
  const { list, pending, byId, update, targetBytes } = createEndpoints(parts);
  const bareBytes = targetBytes({ filter: { ids: ['', ''] }, limit: PAGE_LIMIT });
  // Where lists hold no running tasks: how many pages `pending-tasks` had when it was last read.
  let pendingPages = 1;
  // Less than configured once something on the way upstream has refused that much.
  let urlBytes = maxUrlBytes;

  return {
    list,
    byIds,
    running,
    runningPage,
    listed: (ids, options = {}) => listByIds(ids, slotOnce(options)),
    byId,
    update,
    fits: query => targetBytes(query) <= urlBytes,
    reserve: options => requests.reserve(options),
    pressure: () => requests.pressure(),
    listsRunning,
    get idsPerRequest() {
      return Math.max(1, Math.min(PAGE_LIMIT, Math.floor((urlBytes - bareBytes) / ID_BYTES)));
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

  /** By id, each its own request; what one comes to is no matter to the others. */
  async function oneByOne(ids: readonly string[], next: NextOptions): Promise<Map<string, Row>> {
    const rows = await Promise.all(
      ids.map(id =>
        byId(id, next()).catch((error: unknown) => {
          if (error instanceof GatewayError) return new UnreadableTask(id, error);
          throw error;
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
        limit: PAGE_LIMIT,
      } as const;
      return everyPage(offset => list({ ...query, offset }, options));
    }
    if (filter.definitionTypes !== undefined)
      throw new GatewayError(
        'BAD_USER_INPUT',
        `Version ${version} of the Task Status API cannot tell the running tasks of a definitionType.`,
      );
    checkExpressible(filter, version);
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
    const rows = await everyPage(offset => pending({ limit: PAGE_LIMIT, offset }, next()));
    pendingPages = Math.max(1, Math.ceil(rows.length / PAGE_LIMIT));
    return rows;
  }

  /** All rows of a list, none twice. */
  async function everyPage(fetchPage: (offset: number) => Promise<TaskPage>): Promise<Row[]> {
    const rows: Row[] = [];
    const known = new Set<string>();
    let offset = 0;
    for (let pages = 0; pages < MAX_PAGES; pages++) {
      const next = await fetchPage(offset);
      const isGap = offset > 0 && !next.rows.some(({ id }) => id !== null && known.has(id));
      for (const row of next.rows) {
        if (row.id !== null && known.has(row.id)) continue;
        if (row.id !== null) known.add(row.id);
        rows.push(row);
      }
      // More rows have moved up than the overlap is wide: what moved past is further up.
      if (isGap && pages > 0 && offset >= PAGE_LIMIT) offset -= PAGE_LIMIT - PAGE_OVERLAP;
      else if (next.rows.length < PAGE_LIMIT) break;
      else offset += PAGE_LIMIT - PAGE_OVERLAP;
    }
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
