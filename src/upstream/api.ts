import { GatewayError } from '../errors.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { CompletionStatus, Instant, Task } from '../task/task.ts';
import type { Lane } from './budget.ts';
import { PAGE_LIMIT, type TaskQuery, cutByUrl, toQueryString } from './query.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { Requests } from './request.ts';
import { type ApiVersion, VERSION_RULES, checkExpressible } from './versions.ts';
import { UnreadableTask, type Row, readRow, readRows } from './wire.ts';

export interface CallOptions {
  lane?: Lane;
  signal?: AbortSignal | undefined;
  /** A place in the budget for the first request of the call, from `reserve`. */
  slot?: Slot | undefined;
}

/** A page of upstream's, row by row as it came. */
export interface TaskPage {
  rows: Row[];
  /** Null unless the query asked to count. */
  total: number | null;
}

/** A correction of a task's record. */
export interface TaskUpdate {
  completionStatus: CompletionStatus;
  completed: Instant;
}

/** The Task Status REST API, typed. */
export interface TaskStatusApi {
  /** One page of the collection. The total is null unless `count` asks for it: counting costs upstream. */
  list(query: TaskQuery, options?: CallOptions): Promise<TaskPage>;
  /** The tasks of these ids that exist, whether they run or not, in as few requests as can be. */
  byIds(ids: readonly string[], options?: CallOptions): Promise<Map<string, Row>>;
  /** Every task without a completion status, of those that the lasting part of a filter leaves. */
  running(filter: TaskFilter, options?: CallOptions): Promise<Row[]>;
  /** A page of all running tasks, from this offset, in an order that keeps new ones to the end. */
  runningPage(offset: number, count: boolean, options?: CallOptions): Promise<TaskPage>;
  /** Those of these ids that are on the list: on versions that list only what has ended, no others. */
  listed(ids: readonly string[], options?: CallOptions): Promise<Row[]>;
  /** One task, null where upstream has none. */
  byId(id: string, options?: CallOptions): Promise<Row | null>;
  /** PATCH of the record; it does not stop the job. Throws NOT_FOUND. */
  update(id: string, update: TaskUpdate, options?: CallOptions): Promise<Task>;
  /** A place in the budget, taken before it is known what will be asked. */
  reserve(options: { lane: Lane; signal?: AbortSignal | undefined }): Promise<Slot>;
  /** The part of the request budget that is spent, 0–1. */
  pressure(): number;
  /** How many ids of upstream's usual length one request holds. */
  readonly idsPerRequest: number;
  /** Whether a list with this query fits the longest request target. */
  fits(query: TaskQuery): boolean;
}

export interface ApiParts {
  requests: Requests;
  version: ApiVersion;
  /** The path of the tenant's base URL; empty where it has none. */
  basePath: string;
  maxUrlBytes: number;
}

// As the last segment of a path these mean something else; no task has such an id.
const NO_IDS = new Set(['', '.', '..', 'pending-tasks']);

// Between two pages tasks end and rows move up: each page begins with some of the last one's rows.
const PAGE_OVERLAP = 25;
const MAX_PAGES = 400;
// An id of upstream's as it stands in a URL, its quotes and comma included.
const ID_BYTES = 41;

export function createApi({ requests, version, basePath, maxUrlBytes }: ApiParts): TaskStatusApi {
  const { listsRunning } = VERSION_RULES[version];
  const path = `${basePath}${VERSION_RULES[version].path}`;
  const bareBytes = `${path}?${toQueryString({ filter: { ids: ['', ''] }, limit: PAGE_LIMIT })}`
    .length;
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
    fits,
    reserve: options => requests.reserve(options),
    pressure: () => requests.pressure(),
    get idsPerRequest() {
      return Math.max(1, Math.min(PAGE_LIMIT, Math.floor((urlBytes - bareBytes) / ID_BYTES)));
    },
  };

  async function list(query: TaskQuery, options: CallOptions = {}): Promise<TaskPage> {
    checkExpressible(query.filter ?? {}, version);
    return page(`${path}?${toQueryString(query)}`, query.count ?? false, options);
  }

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
      try {
        const { rows } = await list({ filter: { ids: cutIds }, limit: PAGE_LIMIT }, next());
        return rows;
      } catch (error) {
        if (!isUriTooLong(error) || cutIds.length === 1) throw error;
        urlBytes = Math.max(bareBytes, Math.min(urlBytes, maxUrlBytes) >> 1);
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

  async function byId(
    id: string,
    { lane = 'interactive', signal, slot }: CallOptions = {},
  ): Promise<Row | null> {
    try {
      const { json } = await requests.send({ method: 'GET', path: pathOf(id), lane, signal, slot });
      return readRow(json);
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'NOT_FOUND') return null;
      throw error;
    } finally {
      slot?.cancel();
    }
  }

  async function update(
    id: string,
    { completionStatus, completed }: TaskUpdate,
    { signal }: CallOptions = {},
  ): Promise<Task> {
    const patch = [
      { op: 'replace', path: '/completionStatus', value: completionStatus },
      { op: 'replace', path: '/completed', value: new Date(completed).toISOString() },
    ];
    const { json } = await requests.send({
      method: 'PATCH',
      path: pathOf(id),
      lane: 'interactive',
      patch,
      signal,
    });
    const row = readRow(json);
    if (row instanceof UnreadableTask) throw row.error;
    return row;
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
    return listsRunning
      ? list({ ...query, filter: { completionStatusIsNull: true }, order: 'CREATED_ASC' }, options)
      : page(`${path}/pending-tasks?${toQueryString(query)}`, count, options);
  }

  async function pendingTasks(next: NextOptions): Promise<Row[]> {
    const rows = await everyPage(offset =>
      page(`${path}/pending-tasks?${toQueryString({ limit: PAGE_LIMIT, offset })}`, false, next()),
    );
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

  async function page(
    target: string,
    isCounted: boolean,
    { lane = 'interactive', signal, slot }: CallOptions,
  ): Promise<TaskPage> {
    const answer = await requests.send({ method: 'GET', path: target, lane, signal, slot });
    // `pending-tasks` answers so where there are none.
    if (answer.status === 204) return { rows: [], total: isCounted ? 0 : null };
    const rows = readRows(answer.json);
    return { rows, total: isCounted ? readTotal(answer.header('x-total-count')) : null };
  }

  function fits(query: TaskQuery): boolean {
    return Buffer.byteLength(`${path}?${toQueryString(query)}`) <= urlBytes;
  }

  function cut(ids: readonly string[]): string[][] {
    return cutByUrl(ids, urlBytes, bareBytes);
  }

  function pathOf(id: string): string {
    if (NO_IDS.has(id) || !id.isWellFormed())
      throw new GatewayError('NOT_FOUND', 'Upstream has no such task.');
    return `${path}/${encodeURIComponent(id)}`;
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

function readTotal(header: string | null): number {
  if (header === null || !/^\d+$/.test(header))
    throw new GatewayError(
      'UPSTREAM_INVALID_RESPONSE',
      'Upstream did not count what it was asked to count.',
    );
  return Number(header);
}
