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

/** Options of one read. */
export interface ReadOptions {
  /** Aborts when the caller disconnects. */
  signal?: AbortSignal | undefined;
  /** Bypasses memory and requests that were already sent. */
  isFresh?: boolean;
  /** Identifies the caller. The budget serves callers round robin. */
  caller?: string | undefined;
  /** The operations that wait for the result. */
  usages?: readonly OperationUsage[] | undefined;
}

/** Tasks by id, read in batches. */
export interface TaskLoader {
  /** The task, or null if upstream has no such task. Rejects if this task cannot be read; other loads are unaffected. */
  load(id: string, options?: ReadOptions): Promise<Task | null>;
  /** Call after a write. Later calls of `load` do not join requests that were sent before it. */
  invalidate(id: string): void;
}

export interface TaskLoaderParts {
  api: Pick<TaskStatusApi, 'byIds' | 'reserve' | 'idsPerRequest'>;
  memory: Memory;
  clock: Clock;
  /** Called for each batch with the number of its tasks. */
  onBatch?: ((tasks: number) => void) | undefined;
}

/** A load of one id, shared by all callers who wait for it. */
interface PendingLoad {
  id: string;
  request: SharedRequest<Task | null>;
  waiting: WaitingOperations;
}

/** The operations that wait for a load, and when each began to wait, on the monotonic clock. */
type WaitingOperations = Map<OperationUsage, number>;

/** A moment on the wall clock and on the monotonic clock, in milliseconds. */
interface Moment {
  now: number;
  monotonic: number;
}

/** A key of the DataLoader: an id, and a signal that aborts when all of its callers have left. */
interface BatchKey {
  id: string;
  signal: AbortSignal;
  waiting: WaitingOperations;
  /** Called when the batch is sent. From then on, fresh loads of the id start a new request. */
  onSent(): void;
}

/** How long a batch collects loads, in milliseconds. If the budget is spent, it collects until it has a slot. */
const BATCH_DELAY_MS = 10;

/**
 * Batches loads of tasks by id, from any operation, into `id in (…)` requests.
 *
 * A batch takes its slot in the budget before it is sent. While it waits for the slot, it collects more
 * loads, so batches grow as the budget gets scarce.
 */
export function createTaskLoader({ api, memory, clock, onBatch }: TaskLoaderParts): TaskLoader {
  // The slot of the batch that is being dispatched, or the error if it got none.
  let reservation: (({ slot: Slot } | { error: unknown }) & { since: Moment }) | null = null;
  /** Loads whose request is not sent yet. Any caller may join them. */
  const unsent = new Map<string, PendingLoad>();
  /** Loads whose request was sent. Callers may join them unless they need a fresh result. */
  const sent = new Map<string, PendingLoad>();

  const loader = new DataLoader<BatchKey, Task | null>(readBatch, {
    // `pendingLoad` already joins loads of the same id.
    cache: false,
    maxBatchSize: api.idsPerRequest,
    batchScheduleFn: dispatch => void dispatchWithSlot(dispatch),
  });

  return {
    async load(id, { signal, isFresh = false, usages = [] } = {}) {
      signal?.throwIfAborted();
      // Checked here, because an error in the batch would fail the other loads too.
      checkValue(id);
      const kept = isFresh ? undefined : memory.task(id);
      if (kept !== undefined) return kept;
      const load = pendingLoad(id, isFresh);
      for (const usage of usages)
        if (unsent.get(id) === load) load.waiting.set(usage, clock.monotonic());
        else usage.sent();
      return load.request.join(signal);
    },
    invalidate: id => void sent.delete(id),
  };

  function pendingLoad(id: string, isFresh: boolean): PendingLoad {
    const known = unsent.get(id) ?? (isFresh ? undefined : sent.get(id));
    if (known && !known.request.isAbandoned) return known;
    const waiting: WaitingOperations = new Map();
    const request = new SharedRequest(signal =>
      loader.load({ id, signal, waiting, onSent: () => markSent(load) }).finally(() => {
        // Another load may have taken the place of this one.
        if (unsent.get(id) === load) unsent.delete(id);
        if (sent.get(id) === load) sent.delete(id);
      }),
    );
    const load: PendingLoad = { id, request, waiting };
    unsent.set(id, load);
    return load;
  }

  function markSent(load: PendingLoad): void {
    if (unsent.get(load.id) === load) unsent.delete(load.id);
    sent.set(load.id, load);
  }

  async function dispatchWithSlot(dispatch: () => void): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, BATCH_DELAY_MS));
    const since = { now: clock.now(), monotonic: clock.monotonic() };
    // No caller is named: the batch may serve several, so it is queued as one of its own.
    reservation = await api.reserve({ lane: 'interactive' }).then(
      slot => ({ slot, since }),
      (error: unknown) => ({ error, since }),
    );
    dispatch();
    reservation = null;
  }

  async function readBatch(keys: readonly BatchKey[]): Promise<(Task | Error | null)[]> {
    const reserved = reservation;
    if (reserved !== null) recordWait(keys, reserved.since);
    if (reserved === null || 'error' in reserved) throw reserved?.error;
    const { slot, since } = reserved;
    // All callers of an aborted load have left. Callers who came later have a load of their own.
    const active = keys.filter(({ signal }) => !signal.aborted);
    const callers = whenAllAbort(active.map(({ signal }) => signal));
    try {
      const rows = active.length === 0 ? new Map<string, Row>() : await read(active);
      // Match by id, not by position: upstream reorders rows and omits unknown ids.
      return keys.map(({ id, signal }) =>
        signal.aborted ? signal.reason : toResult(rows.get(id) ?? null),
      );
    } finally {
      callers.close();
      slot.cancel();
    }

    async function read(loads: readonly BatchKey[]): Promise<Map<string, Row>> {
      for (const { onSent } of loads) onSent();
      const requestedAt = clock.monotonic();
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
        if (!(row instanceof UnreadableTask)) memory.keepTask(id, row, requestedAt);
      }
      return rows;
    }
  }

  function recordWait(keys: readonly BatchKey[], since: Moment): void {
    const now = clock.monotonic();
    for (const { waiting } of keys)
      for (const [usage, joinedAt] of waiting)
        usage.waited(Math.max(since.monotonic, joinedAt), now);
  }
}

function toResult(row: Row | null): Task | Error | null {
  return row instanceof UnreadableTask ? row.error : row;
}
