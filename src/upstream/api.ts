import { GatewayError } from '../errors.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { CompletionStatus, Instant, Task } from '../task/task.ts';
import type { Lane } from './budget.ts';
import { PAGE_LIMIT, type TaskQuery, cutByUrl, toQueryString } from './query.ts';
import type { SendRequest } from './request.ts';
import { type ApiVersion, VERSION_RULES, checkExpressible } from './versions.ts';
import { MalformedTask, type Row, readRow, readRows } from './wire.ts';

export interface CallOptions {
  lane?: Lane;
  signal?: AbortSignal | undefined;
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
  /** One task, null where upstream has none. */
  byId(id: string, options?: CallOptions): Promise<Row | null>;
  /** PATCH of the record; it does not stop the job. Throws NOT_FOUND. */
  update(id: string, update: TaskUpdate, options?: CallOptions): Promise<Task>;
  /** Whether a list with this query fits the longest request target. */
  fits(query: TaskQuery): boolean;
}

export interface ApiParts {
  send: SendRequest;
  version: ApiVersion;
  /** The path of the tenant's base URL; empty where it has none. */
  basePath: string;
  maxUrlBytes: number;
}

// As the last segment of a path these mean something else; no task has such an id.
const NO_IDS = new Set(['', '.', '..', 'pending-tasks']);

export function createApi({ send, version, basePath, maxUrlBytes }: ApiParts): TaskStatusApi {
  const { listsRunning } = VERSION_RULES[version];
  const path = `${basePath}${VERSION_RULES[version].path}`;
  // Where lists hold no running tasks: how many pages `pending-tasks` had when it was last read.
  let pendingPages = 1;

  return { list, byIds, running, byId, update, fits };

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
    if (!listsRunning) {
      const inBulk = pendingPages + cut([...wanted]).length;
      if (wanted.size <= inBulk) return oneByOne([...wanted], options);
      // Before the list and not after it: a task that ends between the two is then on the list.
      (await pendingTasks(options)).forEach(keep);
    }
    const missing = [...wanted].filter(id => !found.has(id));
    const lists = await Promise.all(
      cut(missing).map(cutIds => list({ filter: { ids: cutIds }, limit: PAGE_LIMIT }, options)),
    );
    for (const { rows } of lists) rows.forEach(keep);
    return found;
  }

  async function oneByOne(ids: readonly string[], options: CallOptions): Promise<Map<string, Row>> {
    const rows = await Promise.all(ids.map(id => byId(id, options)));
    return new Map(ids.flatMap((id, place) => (rows[place] ? [[id, rows[place]] as const] : [])));
  }

  async function byId(
    id: string,
    { lane = 'interactive', signal }: CallOptions = {},
  ): Promise<Row | null> {
    try {
      const { json } = await send({ method: 'GET', path: pathOf(id), lane, signal });
      return readRow(json);
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'NOT_FOUND') return null;
      throw error;
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
    const { json } = await send({
      method: 'PATCH',
      path: pathOf(id),
      lane: 'interactive',
      patch,
      signal,
    });
    const row = readRow(json);
    if (row instanceof MalformedTask) throw row.error;
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
    return (await pendingTasks(options)).filter(
      row =>
        row instanceof MalformedTask ||
        ((ids?.includes(row.id) ?? true) && (sourceIds?.includes(row.target?.id ?? '') ?? true)),
    );
  }

  async function pendingTasks(options: CallOptions): Promise<Row[]> {
    const query = { limit: PAGE_LIMIT };
    const rows = await everyPage(offset =>
      page(`${path}/pending-tasks?${toQueryString({ ...query, offset })}`, false, options),
    );
    pendingPages = Math.max(1, Math.ceil(rows.length / PAGE_LIMIT));
    return rows;
  }

  async function everyPage(fetchPage: (offset: number) => Promise<TaskPage>): Promise<Row[]> {
    const rows: Row[] = [];
    for (let offset = 0; ; offset += PAGE_LIMIT) {
      const next = await fetchPage(offset);
      rows.push(...next.rows);
      if (next.rows.length < PAGE_LIMIT) return rows;
    }
  }

  async function page(
    target: string,
    isCounted: boolean,
    { lane = 'interactive', signal }: CallOptions,
  ): Promise<TaskPage> {
    const answer = await send({ method: 'GET', path: target, lane, signal });
    // `pending-tasks` answers 204 where there are none.
    const rows = answer.status === 204 ? [] : readRows(answer.json);
    return { rows, total: isCounted ? readTotal(answer.header('x-total-count')) : null };
  }

  function fits(query: TaskQuery): boolean {
    return Buffer.byteLength(`${path}?${toQueryString(query)}`) <= maxUrlBytes;
  }

  function cut(ids: readonly string[]): string[][] {
    const bare = `${path}?${toQueryString({ filter: { ids: ['', ''] }, limit: PAGE_LIMIT })}`;
    return cutByUrl(ids, maxUrlBytes, bare.length);
  }

  function pathOf(id: string): string {
    if (NO_IDS.has(id) || !id.isWellFormed())
      throw new GatewayError('NOT_FOUND', 'Upstream has no such task.');
    return `${path}/${encodeURIComponent(id)}`;
  }
}

function readTotal(header: string | null): number {
  if (header === null || !/^\d+$/.test(header))
    throw new GatewayError(
      'UPSTREAM_INVALID_RESPONSE',
      'Upstream did not count what it was asked to count.',
    );
  return Number(header);
}
