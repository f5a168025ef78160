import type { Clock } from '../clock.ts';
import { failureCodeOf } from '../errors.ts';
import { LightSignal, type Signal } from '../signal.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { Task } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { Span } from '../tracing.ts';
import type { OperationUsage } from '../usage.ts';
import { checkValue } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import { beginBatchWait } from './batch-wait.ts';
import type { Memory } from './memory.ts';

/** Options of one read. */
export interface ReadOptions {
  /** Aborts when the caller disconnects. */
  signal?: Signal | undefined;
  /** Bypasses memory and requests that were already sent. */
  isFresh?: boolean;
  /** Identifies the caller. The budget serves callers round robin. */
  caller?: string | undefined;
  /** The operations that wait for the result. */
  usages?: readonly OperationUsage[] | undefined;
}

/** Tasks by id, read in batches. */
export interface TaskLoader {
  /**
   * The task, or null if upstream has no such task. Rejects if this task cannot be read; other
   * loads are unaffected.
   */
  load(id: string, options?: ReadOptions): Promise<Task | null>;
  /** Call after a write. Later calls of `load` do not join requests that were sent before it. */
  invalidate(id: string): void;
}

export interface TaskLoaderParts {
  api: Pick<TaskStatusApi, 'byIds' | 'reserve' | 'idsPerRequest' | 'pressure'>;
  memory: Memory;
  clock: Clock;
  /** Called for each batch with the number of its tasks. */
  onBatch?: ((tasks: number) => void) | undefined;
}

/** A load of one id, shared by all callers who wait for it. */
interface Load {
  id: string;
  batch: Batch;
  callers: Caller[];
  /** The task was written to after the request was sent: later callers do not join. */
  isOutdated: boolean;
}

interface Caller {
  usages: readonly OperationUsage[];
  resolve(task: Task | null): void;
  reject(error: unknown): void;
  stopListening?: () => void;
}

/** Loads that one upstream request answers. */
interface Batch {
  /** By id. */
  loads: Map<string, Load>;
  /** Aborts the request once all callers have left. */
  signal: LightSignal;
  /** The operations that wait for it, and when each began to wait, on the monotonic clock. */
  waiting: Map<OperationUsage, number>;
  /** When its request was sent, on the monotonic clock; Infinity before. */
  requestedAt: number;
  /**
   * Its part of the traces of these operations, from when it has a slot; null if none of them is
   * traced.
   */
  span: Span | null;
}

/**
 * The maximum time for which a batch collects loads, in milliseconds. If the budget is spent, it
 * collects until it has a slot.
 */
const BATCH_DELAY_MS = 10;
// While less than this part of the budget is spent, a batch waits only while another request is in
// flight.
const IDLE_PRESSURE = 0.25;

/**
 * Batches loads of tasks by id, from any operation, into `id in (…)` requests.
 *
 * A batch takes its slot in the budget before it is sent. While it waits for the slot, it collects
 * more loads, so batches grow as the budget gets scarce.
 */
export function createTaskLoader({ api, memory, clock, onBatch }: TaskLoaderParts): TaskLoader {
  // Lists of batches, whose loads go with them: one Map of all loads would hold on to those that
  // have ended (see `Bag`).
  /** Batches whose request is not sent yet. Any caller may join their loads. */
  const unsent: Batch[] = [];
  /**
   * Batches whose request was sent, newest last. Callers may join their loads unless they need a
   * fresh result.
   */
  const sent: Batch[] = [];
  /** The batch that collects loads; null: the next load opens one. */
  let open: Batch | null = null;
  let onAnswered = () => {};

  return {
    // One promise for each: an operation may wait for hundreds.
    load: (id, options = {}) =>
      new Promise((resolve, reject) => {
        const { isFresh = false, usages = [] } = options;
        // Checked here, because an error in the batch would fail the other loads too.
        checkValue(id);
        const kept = isFresh ? undefined : memory.task(id, usages);
        if (kept !== undefined) return resolve(kept);
        // The signal is made when it is first asked for.
        const { signal } = options;
        signal?.throwIfAborted();
        const load = loadOf(id, isFresh);
        for (const usage of usages) record(usage, load);
        join(load, { usages, resolve, reject }, signal);
      }),
    invalidate(id) {
      for (const { loads } of sent) {
        const load = loads.get(id);
        if (load !== undefined) load.isOutdated = true;
      }
    },
  };

  function loadOf(id: string, isFresh: boolean): Load {
    const known = find(unsent, id) ?? (isFresh ? undefined : find(sent, id));
    if (known !== undefined && !known.isOutdated) return known;
    if (open === null || open.loads.size >= api.idsPerRequest) {
      open = {
        loads: new Map(),
        signal: new LightSignal(),
        waiting: new Map(),
        requestedAt: Infinity,
        span: null,
      };
      unsent.push(open);
      void dispatch(open);
    }
    const load: Load = { id, batch: open, callers: [], isOutdated: false };
    open.loads.set(id, load);
    return load;
  }

  function record(usage: OperationUsage, { batch }: Load): void {
    if (batch.requestedAt < Infinity) {
      usage.sent();
      if (batch.span !== null) usage.span?.link(batch.span);
      memory.noteAge([usage], batch.requestedAt);
    } else if (!batch.waiting.has(usage)) batch.waiting.set(usage, clock.monotonic());
  }

  function join(load: Load, caller: Caller, signal: Signal | undefined): void {
    load.callers.push(caller);
    if (signal === undefined) return;
    const leave = () => {
      load.callers.splice(load.callers.indexOf(caller), 1);
      caller.reject(signal.reason);
      if (load.callers.length === 0) abandon(load);
    };
    signal.addEventListener('abort', leave, { once: true });
    caller.stopListening = () => signal.removeEventListener('abort', leave);
  }

  /**
   * Its last caller has left. A caller who comes later gets another load, in the same batch while
   * that collects.
   */
  function abandon({ id, batch: { loads, signal, requestedAt } }: Load): void {
    loads.delete(id);
    const wasSent = requestedAt < Infinity;
    if (wasSent && loads.size === 0)
      signal.abort(new DOMException('Every caller has left.', 'AbortError'));
  }

  async function dispatch(batch: Batch): Promise<void> {
    await collect();
    try {
      const slot = await reserve(batch);
      try {
        if (batch.loads.size > 0) await read(batch, slot);
        else batch.span?.end('aborted');
      } finally {
        slot.cancel();
      }
    } catch (error) {
      for (const load of batch.loads.values()) settle(load, caller => caller.reject(error));
    }
  }

  async function reserve(batch: Batch): Promise<Slot> {
    const wait = beginBatchWait(clock);
    let failureCode: string | undefined;
    try {
      // No caller is named: the batch may serve several, so it is queued as one of its own.
      return await api.reserve({ lane: 'interactive', onTokenWait: wait.onTokenWait });
    } catch (error) {
      failureCode = failureCodeOf(error);
      throw error;
    } finally {
      close(batch);
      batch.span = wait.end(batch.waiting, batch.loads.size, failureCode);
    }
  }

  /** The batch collects no more loads. */
  function close(batch: Batch): void {
    if (open === batch) open = null;
    unsent.splice(unsent.indexOf(batch), 1);
  }

  async function collect(): Promise<void> {
    if (api.pressure() >= IDLE_PRESSURE)
      await new Promise(resolve => setTimeout(resolve, BATCH_DELAY_MS));
    else if (sent.length === 0)
      // Loads that have arrived already join it.
      await new Promise(resolve => setImmediate(resolve));
    else
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, BATCH_DELAY_MS);
        const before = onAnswered;
        onAnswered = () => {
          clearTimeout(timer);
          before();
          resolve();
        };
      });
  }

  async function read(batch: Batch, slot: Slot): Promise<void> {
    const { loads, waiting, signal, span } = batch;
    const ids = [...loads.keys()];
    onBatch?.(ids.length);
    const usages = [...waiting.keys()];
    const requestedAt = clock.monotonic();
    batch.requestedAt = requestedAt;
    memory.noteAge(usages, requestedAt);
    sent.push(batch);
    try {
      const rows = await api.byIds(ids, { slot, signal, usages, span });
      // Match by id, not by position: upstream reorders rows and omits unknown ids.
      for (const id of ids) {
        const row = rows.get(id) ?? null;
        if (!(row instanceof UnreadableTask)) memory.keepTask(id, row, requestedAt);
      }
      for (const load of loads.values()) answer(load, rows.get(load.id) ?? null);
      span?.end();
    } catch (error) {
      span?.end(failureCodeOf(error));
      throw error;
    } finally {
      sent.splice(sent.indexOf(batch), 1);
      const answered = onAnswered;
      onAnswered = () => {};
      answered();
    }
  }

  function answer(load: Load, row: Row | null): void {
    settle(load, caller => {
      if (row instanceof UnreadableTask) caller.reject(row.error);
      else caller.resolve(row);
    });
  }

  function settle({ callers }: Load, tell: (caller: Caller) => void): void {
    for (const caller of callers.splice(0)) {
      caller.stopListening?.();
      for (const usage of caller.usages) usage.received();
      tell(caller);
    }
  }
}

/** The load of this id in the newest of the batches that has one. */
function find(batches: readonly Batch[], id: string): Load | undefined {
  return batches.findLast(({ loads }) => loads.has(id))?.loads.get(id);
}
