import type { Signal } from '../signal.ts';
import { GatewayError } from '../errors.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { AccountAggregation } from '../task/account-aggregation.ts';
import type { CompletionStatus, Instant, Task } from '../task/task.ts';
import type { Lane } from './admission/lanes.ts';
import { readAggregation } from './aggregation-reader.ts';
import type { Span } from '../tracing.ts';
import type { RequestUsage } from '../usage.ts';
import type { OnFallback } from './json-fields.ts';
import { PAGE_LIMIT, type TaskQuery, toQueryString } from './query.ts';
import type { EndpointName } from './attempt-report.ts';
import type { Requests } from './request.ts';
import { type ApiVersion, VERSION_RULES, checkExpressible } from './versions.ts';
import { createRowReader, parse } from './row-reader.ts';
import { type Row, UnreadableTask } from './wire.ts';

export interface CallOptions {
  lane?: Lane;
  signal?: Signal | undefined;
  /** Identifies the caller. The budget serves callers round robin. */
  caller?: string | undefined;
  /** A slot for the first request of the call, from `reserve`. */
  slot?: Slot | undefined;
  /** The operations, or the poll, that wait for the answer. */
  usages?: readonly RequestUsage[] | undefined;
  /** What the requests are part of, in a trace. */
  span?: Span | null;
}

/** A page of a list, with its rows in upstream's order. */
export interface TaskPage {
  rows: Row[];
  /**
   * The length of the whole list. Null if the query does not request it, or if upstream does not
   * count.
   */
  total: number | null;
  /** When upstream answered: its Date header, in whole seconds; null if there is none. */
  date?: Instant | null;
}

/** A change of a task's record. */
export interface TaskUpdate {
  completionStatus: CompletionStatus;
  completed: Instant;
}

/** The endpoints of the Task Status REST API, one request per call. */
export interface Endpoints {
  /**
   * One page of the collection. Request `count` only if needed, because it is expensive for
   * upstream.
   */
  list(query: TaskQuery, options?: CallOptions): Promise<TaskPage>;
  /**
   * One page of `pending-tasks`, which takes neither filter nor order. v2026 and v1 do not have it.
   */
  pending(query: Omit<TaskQuery, 'filter' | 'order'>, options?: CallOptions): Promise<TaskPage>;
  /** One task; null if upstream has none with this id. */
  byId(id: string, options?: CallOptions): Promise<Row | null>;
  /** Patches the record of a task; a running job goes on. Throws NOT_FOUND. */
  update(id: string, update: TaskUpdate, options?: CallOptions): Promise<Task>;
  /** The progress of an account aggregation by the id of its task; null if upstream has none. */
  aggregation(id: string, options?: CallOptions): Promise<AccountAggregation | null>;
  /** The length of the request target of a list. */
  targetBytes(query: TaskQuery): number;
}

export interface EndpointsParts {
  requests: Requests;
  version: ApiVersion;
  /** The path of the tenant's base URL; empty if it has none. */
  basePath: string;
  /** Called for each field of a row that needed a fallback. */
  onFallback?: OnFallback | undefined;
}

// As the last segment of a path, these have another meaning. No task has such an id.
const NO_IDS = new Set(['', '.', '..', 'pending-tasks']);

// The status of an aggregation has about 300 bytes. Parsed, JSON takes many times its length in
// memory.
const MAX_AGGREGATION_BYTES = 65_536;
// The largest Int of GraphQL.
const MAX_TOTAL = 2 ** 31 - 1;

/** Sends each call through `requests`. */
export function createEndpoints({
  requests,
  version,
  basePath,
  onFallback,
}: EndpointsParts): Endpoints {
  const path = `${basePath}${VERSION_RULES[version].path}`;
  const aggregationsPath = `${basePath}${VERSION_RULES[version].aggregationsPath}`;
  const reader = createRowReader(onFallback);

  return {
    async list(query, options = {}) {
      checkExpressible(query.filter ?? {}, version);
      return page('list', path, query, options);
    },
    pending: (query, options = {}) => page('pending', `${path}/pending-tasks`, query, options),
    byId,
    update,
    aggregation,
    targetBytes: query => Buffer.byteLength(`${path}?${toQueryString(query)}`),
  };

  async function byId(
    id: string,
    { lane = 'interactive', ...options }: CallOptions = {},
  ): Promise<Row | null> {
    try {
      const request = { method: 'GET', endpoint: 'task', ...targetOf(path, id), lane } as const;
      const { body } = await requests.send({ ...request, ...options });
      return reader.row(body);
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'NOT_FOUND') return null;
      throw error;
    } finally {
      options.slot?.cancel();
    }
  }

  async function aggregation(
    id: string,
    { lane = 'aggregation', ...options }: CallOptions = {},
  ): Promise<AccountAggregation | null> {
    try {
      const target = targetOf(aggregationsPath, id, '/status');
      const request = { method: 'GET', endpoint: 'aggregation', ...target, lane } as const;
      const answer = await requests.send({ ...request, ...options });
      if (answer.status === 204) return null;
      if (answer.body.length > MAX_AGGREGATION_BYTES)
        throw new GatewayError(
          'UPSTREAM_INVALID_RESPONSE',
          'Upstream answered with an account aggregation that is too long to be read.',
        );
      return readAggregation(parse(answer.body), onFallback);
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'NOT_FOUND') return null;
      throw error;
    }
  }

  async function update(
    id: string,
    { completionStatus, completed }: TaskUpdate,
    { signal, caller, usages }: CallOptions = {},
  ): Promise<Task> {
    const patch = [
      { op: 'replace', path: '/completionStatus', value: completionStatus },
      { op: 'replace', path: '/completed', value: new Date(completed).toISOString() },
    ];
    const { body } = await requests.send({
      method: 'PATCH',
      endpoint: 'update',
      ...targetOf(path, id),
      lane: 'interactive',
      patch,
      signal,
      caller,
      usages,
    });
    const row = reader.row(body);
    if (row instanceof UnreadableTask) throw row.error;
    return row;
  }

  async function page(
    endpoint: EndpointName,
    collection: string,
    query: TaskQuery,
    { lane = 'interactive', ...options }: CallOptions,
  ): Promise<TaskPage> {
    const target = `${collection}?${toQueryString(query)}`;
    const request = { method: 'GET', endpoint, path: target, lane } as const;
    const answer = await requests.send({ ...request, ...options });
    // `pending-tasks` answers 204 if there are none.
    const rows = answer.status === 204 ? [] : reader.rows(answer.body, query.limit ?? PAGE_LIMIT);
    const date = readDate(answer.header('date'));
    if (!query.count) return { rows, total: null, date };
    const total = readTotal(answer.header('x-total-count')) ?? totalOf(query, rows.length);
    return { rows, total, date };
  }

  /**
   * The path of what has this id, also as it may be logged: without the id, which a caller has
   * sent.
   */
  function targetOf(collection: string, id: string, rest = '') {
    if (NO_IDS.has(id) || !id.isWellFormed())
      throw new GatewayError('NOT_FOUND', 'Upstream has no such task.');
    return {
      path: `${collection}/${encodeURIComponent(id)}${rest}`,
      loggedPath: `${collection}/{id}${rest}`,
    };
  }
}

function readDate(header: string | null): Instant | null {
  const instant = Date.parse(header ?? '');
  return Number.isNaN(instant) ? null : instant;
}

function readTotal(header: string | null): number | null {
  const total = header !== null && /^\d+$/.test(header) ? Number(header) : null;
  return total !== null && total <= MAX_TOTAL ? total : null;
}

/**
 * The total, if the page reaches the end of the list: it is not full and does not start after the
 * end.
 */
function totalOf({ offset = 0, limit = PAGE_LIMIT }: TaskQuery, rowCount: number): number | null {
  const isLast = rowCount < limit && (rowCount > 0 || offset === 0);
  return isLast ? offset + rowCount : null;
}
