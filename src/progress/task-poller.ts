import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Lease, WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { Task } from '../task/task.ts';
import { Cadence } from './cadence.ts';
import { MAX_SILENCE_MS, toFailure, toGatewayError } from './failure.ts';
import type { Failure, GroupMessage } from './group-message.ts';
import { createPoller } from './poller.ts';
import { PublishedStates } from './published-states.ts';
import type { TaskRow, TaskSource } from './source.ts';

/** Polls the watched tasks of every instance of the group, while this one has the lease for it. */
export interface TaskPoller {
  /** Takes in a message of the group, whichever instance sent it. */
  onMessage(message: GroupMessage): void;
  /** Polls within one interval. */
  start(): void;
  /** The lease is ours: another instance polled until now. */
  takeOver(): void;
  /** Messages were lost: which states subscribers know is not known any more. */
  forgetStates(): void;
  close(): void;
}

export interface TaskPollerParts {
  source: TaskSource;
  group: Pick<WatchGroup<GroupMessage>, 'watchedIds' | 'publish'>;
  /** The right to poll tasks; null while none is watched here. */
  lease(): Lease | null;
  clock: Clock;
  log: Log;
  intervalMs: number;
}

interface PolledTask {
  cadence: Cadence;
  /** As it was last read. */
  etag: string | null;
  /** Since when it cannot be read while others can; null where it can. */
  failingSince: number | null;
  /** Whether subscribers were told so. */
  isFailurePublished: boolean;
}

/** What a poll found of a task: null where upstream no longer has it, an error where it cannot be read. */
interface Found {
  id: string;
  entry: PolledTask;
  row: TaskRow | null;
}

// Each costs a request. Where a source is deleted, all its tasks go missing at once; the rest stay due.
const MAX_CONFIRMED = 5;

// Some 3 kB each: a message is small enough to be sent among others.
const TASKS_PER_MESSAGE = 200;

export function createTaskPoller(parts: TaskPollerParts): TaskPoller {
  const { source, group, lease, clock, log, intervalMs } = parts;
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
    start: () => poller.startIn(intervalMs),
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
      // A poll under way may have read an older state than the subscriber knows: it is not published.
      if (lease()?.isHeld) begin(id);
    }
    if (lease()?.isHeld) poller.startIn(intervalMs);
  }

  async function poll(): Promise<number | null> {
    const startedAt = clock.monotonic();
    try {
      await pollDue(startedAt);
    } catch (error) {
      const failure = toFailure(toGatewayError(error, log));
      log.warn({ code: failure.code }, 'a poll of tasks failed');
      group.publish({ kind: 'failed', list: null, error: failure });
    }
    if (polled.size === 0) return null;
    let nextAt = Infinity;
    for (const { cadence } of polled.values()) nextAt = Math.min(nextAt, cadence.dueAt);
    return Math.max(0, Math.max(startedAt + intervalMs, nextAt) - clock.monotonic());
  }

  async function pollDue(startedAt: number): Promise<void> {
    await gather();
    // A task that is nearly due comes along: together they cost less.
    const due = [...polled].filter(
      ([, { cadence }]) => cadence.dueAt <= startedAt + intervalMs / 2,
    );
    if (due.length === 0) return;
    const rows = await source.poll(due.map(([id]) => id));
    publish(due.flatMap(([id, entry]) => withRow(id, entry, rows.get(id))));

    const missing = due.filter(([id]) => !rows.has(id)).slice(0, MAX_CONFIRMED);
    if (missing.length === 0) return;
    const confirmed = await Promise.all(missing.map(([id]) => confirm(id)));
    publish(missing.flatMap(([id, entry], place) => withRow(id, entry, confirmed[place])));
  }

  /** What is watched anywhere in the group is polled, and nothing else. */
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
    polled.set(id, { cadence, etag: null, failingSince: null, isFailurePublished: false });
  }

  /** A failure of one task alone does not concern the others; a refused token does. */
  async function confirm(id: string): Promise<TaskRow | null> {
    try {
      return await source.confirm(id);
    } catch (error) {
      if (error instanceof GatewayError && error.code !== 'UNAUTHENTICATED') return error;
      throw error;
    }
  }

  /** Publishes the tasks that subscribers know otherwise. */
  function publish(found: readonly Found[]): void {
    if (!lease()?.isHeld) return;
    const tasks: Task[] = [];
    const deletedIds: string[] = [];
    const failures: { id: string; error: Failure }[] = [];
    for (const { id, entry, row } of found) {
      // Subscribed to anew since, or polled by another instance for a while: a later state may be known.
      if (polled.get(id) !== entry) continue;
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
    group.publish({
      kind: 'polled',
      tasks: tasks.slice(0, TASKS_PER_MESSAGE),
      deletedIds,
      failures,
    });
    for (let first = TASKS_PER_MESSAGE; first < tasks.length; first += TASKS_PER_MESSAGE) {
      const some = tasks.slice(first, first + TASKS_PER_MESSAGE);
      group.publish({ kind: 'polled', tasks: some, deletedIds: [], failures: [] });
    }
  }

  /** Whether a task has been unreadable for so long that its subscribers are to know, and do not yet. */
  function isNewFailure(entry: PolledTask): boolean {
    const now = clock.monotonic();
    entry.failingSince ??= now;
    if (entry.isFailurePublished || now - entry.failingSince < MAX_SILENCE_MS) return false;
    entry.isFailurePublished = true;
    return true;
  }
}

function withRow(id: string, entry: PolledTask, row: TaskRow | null | undefined): Found[] {
  return row === undefined ? [] : [{ id, entry, row }];
}
