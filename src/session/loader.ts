import type { Clock } from '../clock.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { Task } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import { checkValue } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import type { Memory } from './memory.ts';
import { AbortListeners } from './abort-listeners.ts';

/** How a caller wants to be answered. */
export interface ReadOptions {
  /** Aborts when the caller has left. */
  signal?: AbortSignal | undefined;
  /** Not from memory, and not by a request that was sent before. */
  isFresh?: boolean;
  /** Who asks: callers take turns. */
  caller?: string | undefined;
}

/** Tasks by id, read in batches. */
export interface TaskLoader {
  /** Null where upstream has no such task. Rejects for a task that cannot be read, and only for that. */
  load(id: string, options?: ReadOptions): Promise<Task | null>;
  /** A task was written to: later calls of `load` get no answer to a request sent before. */
  forget(id: string): void;
}

export interface TaskLoaderParts {
  api: Pick<TaskStatusApi, 'byIds' | 'reserve' | 'idsPerRequest' | 'pressure'>;
  memory: Memory;
  clock: Clock;
}

/** One id, for all callers who wait for it. */
interface Load {
  id: string;
  batch: Batch;
  callers: Set<Caller>;
}

interface Caller {
  resolve(task: Task | null): void;
  reject(error: unknown): void;
  stopListening?: () => void;
}

/** Loads that one upstream request answers. */
interface Batch {
  loads: Set<Load>;
  /** Aborts the request once all callers have left. */
  controller: AbortController;
}

// For how long loads gather at the most while the budget has room; while it has none, until a slot is free.
const GATHER_MS = 10;
// While less of the budget than this is spent, loads gather only for as long as a request is under way.
const IDLE_PRESSURE = 0.25;

/**
 * Batches loads of tasks by id, from any operation, into `id in (…)` requests.
 *
 * A batch takes its slot in the budget before it is closed. While the budget is scarce, loads gather
 * for as long as they have to wait anyway: the scarcer it is, the fuller the batches.
 */
export function createTaskLoader({ api, memory, clock }: TaskLoaderParts): TaskLoader {
  const aborts = new AbortListeners();
  /** Loads that gather. Every caller may join them: upstream is asked after this. */
  const gathering = new Map<string, Load>();
  /** Loads that were sent. Callers may join them unless they want a fresh answer. */
  const sent = new Map<string, Load>();
  /** The batch that further loads go into. */
  let open: Batch | null = null;
  let requestsUnderWay = 0;
  let onAnswered = () => {};

  return {
    load: (id, { signal, isFresh = false } = {}) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        // Here and not in the batch, where it would fail the other loads too.
        checkValue(id);
        const kept = isFresh ? undefined : memory.task(id);
        if (kept !== undefined) resolve(kept);
        else join(loadOf(id, isFresh), { resolve, reject }, signal);
      }),
    forget: id => void sent.delete(id),
  };

  function loadOf(id: string, isFresh: boolean): Load {
    const known = gathering.get(id) ?? (isFresh ? undefined : sent.get(id));
    if (known) return known;
    if (open === null || open.loads.size >= api.idsPerRequest) {
      open = { loads: new Set(), controller: new AbortController() };
      void dispatch(open);
    }
    const load: Load = { id, batch: open, callers: new Set() };
    open.loads.add(load);
    gathering.set(id, load);
    return load;
  }

  function join(load: Load, caller: Caller, signal: AbortSignal | undefined): void {
    load.callers.add(caller);
    if (signal === undefined) return;
    caller.stopListening = aborts.listen(signal, () => {
      load.callers.delete(caller);
      caller.reject(signal.reason);
      if (load.callers.size === 0) abandon(load);
    });
  }

  /** Nobody waits for it. Who asks again has another load. */
  function abandon(load: Load): void {
    const { loads, controller } = load.batch;
    drop(load);
    loads.delete(load);
    if (loads.size === 0)
      controller.abort(new DOMException('Every caller has left.', 'AbortError'));
  }

  /** Another load may have taken the place of this one. */
  function drop(load: Load): void {
    if (gathering.get(load.id) === load) gathering.delete(load.id);
    if (sent.get(load.id) === load) sent.delete(load.id);
  }

  async function dispatch(batch: Batch): Promise<void> {
    await gather();
    try {
      // Without a caller: several may wait for one batch, which has a turn of its own.
      const slot = await api.reserve({ lane: 'interactive' });
      if (open === batch) open = null;
      try {
        if (batch.loads.size > 0) await read(batch, slot);
      } finally {
        slot.cancel();
      }
    } catch (error) {
      if (open === batch) open = null;
      for (const load of batch.loads) settle(load, caller => caller.reject(error));
    }
  }

  async function gather(): Promise<void> {
    if (api.pressure() >= IDLE_PRESSURE)
      await new Promise(resolve => setTimeout(resolve, GATHER_MS));
    else if (requestsUnderWay === 0)
      // For what else has arrived already.
      await new Promise(resolve => setImmediate(resolve));
    else
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, GATHER_MS);
        const before = onAnswered;
        onAnswered = () => {
          clearTimeout(timer);
          before();
          resolve();
        };
      });
  }

  async function read({ loads, controller: { signal } }: Batch, slot: Slot): Promise<void> {
    for (const load of loads) {
      if (gathering.get(load.id) === load) gathering.delete(load.id);
      sent.set(load.id, load);
    }
    const ids = [...loads].map(({ id }) => id);
    const askedAt = clock.monotonic();
    requestsUnderWay++;
    try {
      const rows = await api.byIds(ids, { slot, signal });
      // Upstream sorts as it likes and omits what it does not know: match by id, never by place.
      for (const id of ids) {
        const row = rows.get(id) ?? null;
        if (!(row instanceof UnreadableTask)) memory.keepTask(id, row, askedAt);
      }
      for (const load of loads) answer(load, rows.get(load.id) ?? null);
    } finally {
      requestsUnderWay--;
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

  function settle(load: Load, tell: (caller: Caller) => void): void {
    drop(load);
    for (const caller of load.callers) {
      caller.stopListening?.();
      tell(caller);
    }
    load.callers.clear();
  }
}
