import DataLoader from 'dataloader';
import type { Clock } from '../clock.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { Task } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import { type OperationUsage, startSpanFor } from '../usage.ts';
import { checkValue } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import type { Memory } from './memory.ts';
import { SharedRequest, whenAllAbort } from './shared-request.ts';

/** How a caller wants to be answered. */
export interface ReadOptions {
  /** Aborts when the caller has left. */
  signal?: AbortSignal | undefined;
  /** Not from memory, and not by a request that was sent before. */
  isFresh?: boolean;
  /** Who asks: callers take turns. */
  caller?: string | undefined;
  /** The operations that wait for the answer. */
  usages?: readonly OperationUsage[] | undefined;
}

/** Tasks by id, read in batches. */
export interface TaskLoader {
  /** Null where upstream has no such task. Rejects for a task that cannot be read, and only for that. */
  load(id: string, options?: ReadOptions): Promise<Task | null>;
  /** A task was written to: later calls of `load` get no answer to a request sent before. */
  forget(id: string): void;
}

export interface TaskLoaderParts {
  api: Pick<TaskStatusApi, 'byIds' | 'reserve' | 'idsPerRequest'>;
  memory: Memory;
  clock: Clock;
  /** Called for each batch with the number of its tasks. */
  onBatch?: ((tasks: number) => void) | undefined;
}

/** One id, for all callers who wait for it. */
interface PendingLoad {
  id: string;
  request: SharedRequest<Task | null>;
  waiting: WaitingOperations;
}

/** The operations that wait for a load, and since when, on the monotonic clock. */
type WaitingOperations = Map<OperationUsage, number>;

/** What DataLoader batches: an id, and the signal that aborts once all who wait for it have left. */
interface BatchKey {
  id: string;
  signal: AbortSignal;
  waiting: WaitingOperations;
  /** Called when the batch is closed: nobody joins the load from here on who wants a fresh answer. */
  onSent(): void;
}

/** A moment on the wall clock and on the monotonic clock, in milliseconds. */
interface Moment {
  now: number;
  monotonic: number;
}

/** How long loads gather while the budget has room, in milliseconds; while it has none, until a slot is free. */
const GATHER_MS = 10;

/**
 * Batches loads of tasks by id, from any operation, into `id in (…)` requests.
 *
 * A batch takes its slot in the budget before it is closed. While the budget is scarce, loads gather
 * for as long as they have to wait anyway: the scarcer it is, the fuller the batches.
 */
export function createTaskLoader({ api, memory, clock, onBatch }: TaskLoaderParts): TaskLoader {
  // What the batch that is being closed was given: a slot, or the reason why there is none; and since when it
  // waited for that, on both clocks.
  let turn: (({ slot: Slot } | { error: unknown }) & { since: Moment }) | null = null;
  /** Loads that gather. Every caller may join them: upstream is asked after this. */
  const gathering = new Map<string, PendingLoad>();
  /** Loads that were sent. Callers may join them unless they want a fresh answer. */
  const sent = new Map<string, PendingLoad>();

  const loader = new DataLoader<BatchKey, Task | null>(readBatch, {
    // Equal ids are joined above, as one load each.
    cache: false,
    maxBatchSize: api.idsPerRequest,
    batchScheduleFn: dispatch => void gather(dispatch),
  });

  return {
    async load(id, { signal, isFresh = false, usages = [] } = {}) {
      signal?.throwIfAborted();
      // Here and not in the batch, where it would fail the other loads too.
      checkValue(id);
      const kept = isFresh ? undefined : memory.task(id);
      if (kept !== undefined) return kept;
      const load = pendingLoad(id, isFresh);
      for (const usage of usages)
        if (gathering.get(id) === load) load.waiting.set(usage, clock.monotonic());
        else usage.sent();
      return load.request.join(signal);
    },
    forget: id => void sent.delete(id),
  };

  function pendingLoad(id: string, isFresh: boolean): PendingLoad {
    const known = gathering.get(id) ?? (isFresh ? undefined : sent.get(id));
    if (known && !known.request.isAbandoned) return known;
    const waiting: WaitingOperations = new Map();
    const request = new SharedRequest(signal =>
      loader.load({ id, signal, waiting, onSent: () => move(load) }).finally(() => {
        // Another load may have taken the place of this one.
        if (gathering.get(id) === load) gathering.delete(id);
        if (sent.get(id) === load) sent.delete(id);
      }),
    );
    const load: PendingLoad = { id, request, waiting };
    gathering.set(id, load);
    return load;
  }

  function move(load: PendingLoad): void {
    if (gathering.get(load.id) === load) gathering.delete(load.id);
    sent.set(load.id, load);
  }

  async function gather(dispatch: () => void): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, GATHER_MS));
    const since = { now: clock.now(), monotonic: clock.monotonic() };
    // Without a caller: several may wait for one batch, which has a turn of its own.
    const given = await api.reserve({ lane: 'interactive' }).then(
      slot => ({ slot, since }),
      (error: unknown) => ({ error, since }),
    );
    turn = given;
    dispatch();
    turn = null;
  }

  async function readBatch(keys: readonly BatchKey[]): Promise<(Task | Error | null)[]> {
    const given = turn;
    if (given !== null) noteWait(keys, given.since);
    if (given === null || 'error' in given) throw given?.error;
    const { slot, since } = given;
    // All callers of an aborted load have left, and those who asked again have another load.
    const wanted = keys.filter(({ signal }) => !signal.aborted);
    const callers = whenAllAbort(wanted.map(({ signal }) => signal));
    try {
      const rows = wanted.length === 0 ? new Map<string, Row>() : await read(wanted);
      // Upstream sorts as it likes and omits what it does not know: match by id, never by place.
      return keys.map(({ id, signal }) =>
        signal.aborted ? signal.reason : toResult(rows.get(id) ?? null),
      );
    } finally {
      callers.close();
      slot.cancel();
    }

    async function read(loads: readonly BatchKey[]): Promise<Map<string, Row>> {
      for (const { onSent } of loads) onSent();
      const askedAt = clock.monotonic();
      const ids = loads.map(({ id }) => id);
      onBatch?.(ids.length);
      const usages = [...new Set(loads.flatMap(({ waiting }) => [...waiting.keys()]))];
      const attributes = { tasks: ids.length, operations: usages.length };
      const span = startSpanFor(usages, 'batch', { attributes, startedAt: since.now });
      span?.start('wait for the budget', { startedAt: since.now }).end();
      const rows = await api
        .byIds(ids, { slot, signal: callers.signal, usages, span })
        .finally(() => span?.end());
      for (const id of ids) {
        const row = rows.get(id) ?? null;
        if (!(row instanceof UnreadableTask)) memory.keepTask(id, row, askedAt);
      }
      return rows;
    }
  }

  function noteWait(keys: readonly BatchKey[], since: Moment): void {
    const now = clock.monotonic();
    for (const { waiting } of keys)
      for (const [usage, joinedAt] of waiting)
        usage.waited(Math.max(since.monotonic, joinedAt), now);
  }
}

function toResult(row: Row | null): Task | Error | null {
  return row instanceof UnreadableTask ? row.error : row;
}
