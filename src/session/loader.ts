import DataLoader from 'dataloader';
import type { Clock } from '../clock.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { Task } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import { checkValue } from '../upstream/query.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import type { Memory } from './memory.ts';
import { SharedWork, whenAllAbort } from './shared-work.ts';

/** How a caller wants to be answered. */
export interface ReadOptions {
  /** Aborted when the caller has gone. */
  signal?: AbortSignal | undefined;
  /** Not from memory. */
  isFresh?: boolean;
}

/** Tasks by id, read in batches. */
export interface TaskLoader {
  /** Null where upstream has no such task. Rejects for a task that cannot be read, and only for that. */
  load(id: string, options?: ReadOptions): Promise<Task | null>;
  /** A task was written to: nobody is given what is on its way. */
  forget(id: string): void;
}

export interface TaskLoaderParts {
  api: Pick<TaskStatusApi, 'byIds' | 'reserve' | 'idsPerRequest'>;
  memory: Memory;
  clock: Clock;
}

/** How long wishes gather where the budget has room, in milliseconds; where it has none, as long as that lasts. */
const GATHER_MS = 10;

/**
 * Joins the wishes for a task by id, from whichever operation, into pages of upstream.
 *
 * A batch takes its place in the budget before it is closed. So while the budget is scarce, wishes
 * gather for as long as they have to wait anyway: the scarcer it is, the fuller the batches.
 */
export function createTaskLoader({ api, memory, clock }: TaskLoaderParts): TaskLoader {
  // What the batch that is about to be closed was given: a place, or the reason why there is none.
  let turn: { slot: Slot } | { error: unknown } | null = null;
  const work = new Map<string, SharedWork<Task | null>>();
  const interest = new Map<string, AbortSignal>();
  const inFlight = new Set<string>();

  const loader = new DataLoader<string, Task | null>(readBatch, {
    maxBatchSize: api.idsPerRequest,
    batchScheduleFn: dispatch => void gather(dispatch),
  });

  return {
    async load(id, { signal, isFresh = false } = {}) {
      // Here and not in the batch, where it would cost everybody else's tasks too.
      checkValue(id);
      if (isFresh) forget(id);
      const kept = isFresh ? undefined : memory.task(id);
      if (kept !== undefined) return kept;
      return join(id).join(signal);
    },
    forget,
  };

  function join(id: string): SharedWork<Task | null> {
    const known = work.get(id);
    if (known && !known.isAbandoned) return known;
    loader.clear(id);
    const started = new SharedWork(signal => {
      interest.set(id, signal);
      return loader.load(id).finally(() => {
        if (work.get(id) === started) work.delete(id);
      });
    });
    work.set(id, started);
    return started;
  }

  /** What has been sent is not joined any more; what still gathers is asked after this, and is. */
  function forget(id: string): void {
    if (!inFlight.has(id)) return;
    work.delete(id);
    loader.clear(id);
  }

  async function gather(dispatch: () => void): Promise<void> {
    await new Promise(resolve => setTimeout(resolve, GATHER_MS));
    const given = await api.reserve({ lane: 'interactive' }).then(
      slot => ({ slot }),
      (error: unknown) => ({ error }),
    );
    turn = given;
    dispatch();
    turn = null;
  }

  async function readBatch(ids: readonly string[]): Promise<(Task | Error | null)[]> {
    const given = turn;
    const wanted = new Map<string, AbortSignal>();
    for (const id of ids) {
      // The memo joins equal wishes while a batch gathers; `work` does, from here on.
      loader.clear(id);
      const signal = interest.get(id);
      interest.delete(id);
      if (signal && !signal.aborted) wanted.set(id, signal);
    }
    if (given === null || 'error' in given) throw given?.error;
    const { slot } = given;
    if (wanted.size === 0) {
      slot.cancel();
      return ids.map(() => null);
    }

    const askedAt = clock.monotonic();
    for (const id of wanted.keys()) inFlight.add(id);
    const everybody = whenAllAbort([...wanted.values()]);
    try {
      const rows = await api.byIds([...wanted.keys()], { slot, signal: everybody.signal });
      // Upstream sorts as it likes and leaves out what it does not know: match by id, never by place.
      return ids.map(id => (wanted.has(id) ? settle(id, rows.get(id) ?? null, askedAt) : null));
    } finally {
      everybody.close();
      slot.cancel();
      for (const id of wanted.keys()) inFlight.delete(id);
    }
  }

  function settle(id: string, row: Row | null, askedAt: number): Task | Error | null {
    if (row instanceof UnreadableTask) return row.error;
    memory.keepTask(id, row, askedAt);
    return row;
  }
}
