import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Lease, WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { Task } from '../task/task.ts';
import type { OperationUsage } from '../usage.ts';
import { Cadence } from './cadence.ts';
import { MAX_SILENCE_MS, toFailure, toGatewayError } from './failure.ts';
import type { Failure, GroupMessage } from './group-message.ts';
import { type PollResult, tracePoll } from './poll-trace.ts';
import { type PollObserver, type PollTracing, createPoller } from './poller.ts';
import { PublishedStates } from './published-states.ts';
import type { TaskRow, TaskSource } from './source.ts';

/** Polls the watched tasks of all instances of the group while this instance holds the lease. */
export interface TaskPoller {
  /** Handles a group message, whichever instance sent it. */
  onMessage(message: GroupMessage): void;
  /** This instance now holds the lease; another polled before. */
  takeOver(): void;
  /** Messages were lost, so it is not known any more which states subscribers have. */
  forgetStates(): void;
  close(): void;
}

export interface TaskPollerParts extends PollTracing {
  source: TaskSource;
  group: Pick<WatchGroup<GroupMessage>, 'watchedIds' | 'publish'>;
  /** The right to poll tasks for the group; null while this instance watches none. */
  lease(): Lease | null;
  clock: Clock;
  log: Log;
  intervalMs: number;
  observer?: PollObserver | undefined;
}

interface PolledTask {
  id: string;
  cadence: Cadence;
  /** The etag of the last read; null before the first. */
  etag: string | null;
  /**
   * When it first could not be read although others could, on the monotonic clock; null while it
   * can.
   */
  failingSince: number | null;
  /** Whether that failure was published. */
  isFailurePublished: boolean;
}

// Confirming a task costs a request. When a source is deleted all its tasks disappear at once;
// those not confirmed now are tried again at the next poll.
const MAX_CONFIRMED = 5;

// A task has about 3 kB. Other messages should not have to wait for a very large one.
const TASKS_PER_MESSAGE = 200;

/** A poller that is idle until a task is subscribed to while this instance holds the lease. */
export function createTaskPoller(parts: TaskPollerParts): TaskPoller {
  const { source, group, lease, clock, log, intervalMs, observer, tracer } = parts;
  const poller = createPoller({ clock, poll });
  const polled = new Map<string, PolledTask>();
  const states = new PublishedStates();

  return {
    onMessage(message) {
      if (message.kind === 'subscribed') subscribe(message.tasks);
      else if (message.kind === 'polled') {
        for (const { id, etag } of message.tasks) states.published(id, etag);
        for (const id of message.deletedIds) states.forget(id);
      }
    },
    takeOver() {
      polled.clear();
      poller.startIn(0);
    },
    forgetStates: () => states.clear(),
    close: poller.close,
  };

  function subscribe(tasks: readonly { id: string; etag: string | null }[]): void {
    for (const { id, etag } of tasks) {
      states.subscribed(id, etag);
      // A running poll may have read an older state than the new subscriber has. The new entry
      // keeps it from being published.
      if (lease()?.isHeld) begin(id);
    }
    if (lease()?.isHeld) poller.startIn(intervalMs);
  }

  async function poll(): Promise<number | null> {
    const startedAt = clock.monotonic();
    try {
      if (await pollDue(startedAt)) notePoll(false);
    } catch (error) {
      notePoll(true);
      const failure = toFailure(toGatewayError(error, log));
      log.warn({ code: failure.code }, 'a poll of tasks failed');
      group.publish({ kind: 'failed', list: null, error: failure });
    }
    if (polled.size === 0) return null;
    let nextAt = Infinity;
    for (const { cadence } of polled.values()) nextAt = Math.min(nextAt, cadence.dueAt);
    return Math.max(0, Math.max(startedAt + intervalMs, nextAt) - clock.monotonic());

    function notePoll(isFailure: boolean): void {
      observer?.polled('tasks', isFailure, clock.monotonic() - startedAt);
    }
  }

  /** Whether anything was due. */
  async function pollDue(startedAt: number): Promise<boolean> {
    await gather();
    // Include tasks that are nearly due, because one joined poll costs less than two.
    const due: PolledTask[] = [];
    for (const entry of polled.values())
      if (entry.cadence.dueAt <= startedAt + intervalMs / 2) due.push(entry);
    if (due.length === 0) return false;
    await tracePoll(tracer, 'poll tasks', { tasks: due.length }, usage => readDue(due, usage));
    return true;
  }

  async function readDue(due: readonly PolledTask[], usage: OperationUsage): Promise<PollResult> {
    const rows = await source.poll(
      due.map(({ id }) => id),
      usage,
    );
    let changed = publish(due, id => rows.get(id));

    const missing = due.filter(({ id }) => !rows.has(id)).slice(0, MAX_CONFIRMED);
    if (missing.length > 0) {
      const confirmed = await Promise.all(missing.map(({ id }) => confirm(id, usage)));
      const rowOf = new Map(missing.map(({ id }, place) => [id, confirmed[place]]));
      changed += publish(missing, id => rowOf.get(id));
    }
    return { changed, failureCode: null };
  }

  /** Updates the tasks to poll to those that any instance of the group watches. */
  async function gather(): Promise<void> {
    if (!lease()?.isHeld) {
      polled.clear();
      return;
    }
    const watched = await group.watchedIds();
    for (const id of polled.keys())
      if (!watched.has(id)) {
        polled.delete(id);
        states.forget(id);
      }
    for (const id of watched) if (!polled.has(id)) begin(id, 0);
  }

  function begin(id: string, firstInMs?: number): void {
    const cadence = new Cadence({
      clock,
      intervalMs,
      firstInMs,
      pressure: () => source.pressure(),
    });
    polled.set(id, { id, cadence, etag: null, failingSince: null, isFailurePublished: false });
  }

  /** Returns the error of a single task as its row. A rejected token fails the whole poll. */
  async function confirm(id: string, usage: OperationUsage): Promise<TaskRow | null> {
    try {
      return await source.confirm(id, usage);
    } catch (error) {
      if (error instanceof GatewayError && error.code !== 'UNAUTHENTICATED') return error;
      throw error;
    }
  }

  /**
   * Publishes tasks whose state differs from what subscribers have. A row is null if upstream no
   * longer has the task, an error if it could not be read, undefined if it is not known. Returns
   * how many differed.
   */
  function publish(
    due: readonly PolledTask[],
    rowOf: (id: string) => TaskRow | null | undefined,
  ): number {
    if (!lease()?.isHeld) return 0;
    const tasks: Task[] = [];
    const deletedIds: string[] = [];
    const failures: { id: string; error: Failure }[] = [];
    for (const entry of due) {
      const { id } = entry;
      const row = rowOf(id);
      // The entry was replaced by a new subscription or a lease change, so subscribers may have a
      // later state.
      if (row === undefined || polled.get(id) !== entry) continue;
      if (row instanceof GatewayError) {
        if (isNewFailure(entry)) failures.push({ id, error: toFailure(row) });
        entry.cadence.polled(false);
        continue;
      }
      entry.failingSince = null;
      entry.isFailurePublished = false;
      if (row === null) deletedIds.push(id);
      else if (row.etag === '' || states.etagOf(id) !== row.etag) tasks.push(row);
      entry.cadence.polled(row !== null && row.etag !== entry.etag);
      entry.etag = row?.etag ?? null;
    }
    const readAt = clock.now();
    group.publish({
      kind: 'polled',
      readAt,
      tasks: tasks.slice(0, TASKS_PER_MESSAGE),
      deletedIds,
      failures,
    });
    for (let first = TASKS_PER_MESSAGE; first < tasks.length; first += TASKS_PER_MESSAGE) {
      const some = tasks.slice(first, first + TASKS_PER_MESSAGE);
      group.publish({ kind: 'polled', readAt, tasks: some, deletedIds: [], failures: [] });
    }
    return tasks.length + deletedIds.length;
  }

  /**
   * Whether a task has been unreadable for `MAX_SILENCE_MS` and this has not been published yet.
   */
  function isNewFailure(entry: PolledTask): boolean {
    const now = clock.monotonic();
    entry.failingSince ??= now;
    if (entry.isFailurePublished || now - entry.failingSince < MAX_SILENCE_MS) return false;
    entry.isFailurePublished = true;
    return true;
  }
}
