import { GatewayError } from '../errors.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { CompletionStatus, Instant, Task } from '../task/task.ts';
import type { Lane } from './admission/lanes.ts';
import { type TaskQuery, toQueryString } from './query.ts';
import type { Requests } from './request.ts';
import { type ApiVersion, VERSION_RULES, checkExpressible } from './versions.ts';
import { type Row, UnreadableTask, readRow, readRows } from './wire.ts';

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

/** The endpoints of the Task Status REST API, a request each. */
export interface Endpoints {
  /** One page of the collection. The total is null unless `count` asks for it: counting costs upstream. */
  list(query: TaskQuery, options?: CallOptions): Promise<TaskPage>;
  /** One page of `pending-tasks`, which takes neither filter nor order, and is not on v2026 and v1. */
  pending(query: Omit<TaskQuery, 'filter' | 'order'>, options?: CallOptions): Promise<TaskPage>;
  /** One task, null where upstream has none. */
  byId(id: string, options?: CallOptions): Promise<Row | null>;
  /** PATCH of the record; it does not stop the job. Throws NOT_FOUND. */
  update(id: string, update: TaskUpdate, options?: CallOptions): Promise<Task>;
  /** How long the request target of a list is. */
  targetBytes(query: TaskQuery): number;
}

export interface EndpointsParts {
  requests: Requests;
  version: ApiVersion;
  /** The path of the tenant's base URL; empty where it has none. */
  basePath: string;
}

// As the last segment of a path these mean something else; no task has such an id.
const NO_IDS = new Set(['', '.', '..', 'pending-tasks']);

export function createEndpoints({ requests, version, basePath }: EndpointsParts): Endpoints {
  const path = `${basePath}${VERSION_RULES[version].path}`;

  return {
    async list(query, options = {}) {
      checkExpressible(query.filter ?? {}, version);
      return page(`${path}?${toQueryString(query)}`, query.count ?? false, options);
    },
    pending: (query, options = {}) =>
      page(`${path}/pending-tasks?${toQueryString(query)}`, query.count ?? false, options),
    byId,
    update,
    targetBytes: query => Buffer.byteLength(`${path}?${toQueryString(query)}`),
  };

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
