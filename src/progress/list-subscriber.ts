import { GatewayError } from '../errors.ts';
import {
  type ListEvent,
  type TaskChange,
  type TaskChangeKind,
  changeFor,
  joinEvents,
} from '../task/change.ts';
import { type TaskFilter, isWithin, matchesRest } from '../task/filter.ts';
import { type Instant, type Task, isCompleted, keepProgress } from '../task/task.ts';
import { Mailbox } from './mailbox.ts';
import { type TaskRow, readableOf } from './source.ts';

// A snapshot is meant for a screen. With more tasks than this the client should use a narrower
// filter.
const MAX_SNAPSHOT = 5_000;

export interface ListSubscriberOptions {
  /** `sendSnapshot` will be called for this subscriber. */
  awaitsSnapshot: boolean;
  /** Changes of account aggregations are events for this subscriber. */
  withAggregation: boolean;
}

/** What a snapshot needs of the watch. */
export interface SnapshotParts {
  read(filter: TaskFilter, signal: AbortSignal): AsyncIterable<TaskRow[]>;
  /** Whether the watch has yet to see a task. */
  isUnknown(task: Task): boolean;
  /** The task with what is known of its account aggregation. */
  attach(task: Task): Task;
}

/**
 * A subscriber of a list: sends what its filter and its snapshot make of the changes that the watch
 * sees.
 */
export class ListSubscriber {
  readonly mailbox: Mailbox<ListEvent>;
  readonly #filter: TaskFilter;
  /** Whether it is to be sent a snapshot that is not complete yet. */
  #awaitsSnapshot: boolean;
  /** Tasks as its snapshot sent them, kept until the watch has sent the same or a later state. */
  readonly #snapshotTasks = new Map<string, Task>();
  /**
   * Tasks sent after the snapshot was requested. Their rows in the snapshot are older and are
   * skipped. Null: no snapshot is being read.
   */
  #supersededIds: Set<string> | null = null;

  /** `onClose` is called once, when the stream has ended. */
  constructor(filter: TaskFilter, { awaitsSnapshot }: ListSubscriberOptions, onClose: () => void) {
    this.#filter = filter;
    this.#awaitsSnapshot = awaitsSnapshot;
    this.mailbox = new Mailbox<ListEvent>(onClose, joinEvents);
  }

  /**
   * Sends every task that matches now, then SNAPSHOT_COMPLETE. Throws if the snapshot cannot be
   * read or is too large.
   */
  async sendSnapshot(parts: SnapshotParts): Promise<void> {
    this.#supersededIds = new Set();
    const leaving = new AbortController();
    this.mailbox.whenClosed(() =>
      leaving.abort(new GatewayError('UPSTREAM_UNAVAILABLE', 'The subscriber has left.')),
    );
    let count = 0;
    for await (const rows of parts.read(this.#filter, leaving.signal)) {
      if (leaving.signal.aborted) return;
      for (const task of readableOf(rows)) this.#addToSnapshot(task, parts);
      count += rows.length;
      if (count > MAX_SNAPSHOT)
        throw new GatewayError(
          'BAD_USER_INPUT',
          `More than ${MAX_SNAPSHOT} tasks match. Use a narrower filter for a snapshot.`,
        );
    }
    this.#supersededIds = null;
    this.#awaitsSnapshot = false;
    // No task has an empty id.
    this.mailbox.put('', { kind: 'SNAPSHOT_COMPLETE', task: null });
  }

  /**
   * Sends how a task changed, if the filter lets it. `changes` holds the events of this change by
   * kind: subscribers that get the same change get the same object, so transports serialize it
   * once.
   */
  publish(before: Task | null, now: Task, changes: Map<TaskChangeKind, TaskChange>): void {
    if (!isWithin(this.#filter.created, now.created)) return;
    this.#supersededIds?.add(now.id);
    const shown = this.#snapshotTasks.get(now.id) ?? null;
    const kind = changeFor(this.#filter, before ?? shown, now);
    const task = keepProgress(shown, now);
    if (task === now) this.#snapshotTasks.delete(now.id);
    if (kind === null) return;
    const change = (task === now && changes.get(kind)) || { kind, task };
    if (task === now) changes.set(kind, change);
    this.mailbox.put(now.id, change);
  }

  /**
   * Sends a task whose account aggregation was read, unless the snapshot will send it with this
   * reading.
   */
  publishReading(change: TaskChange): void {
    const { task } = change;
    if (!matchesRest(this.#filter, task)) return;
    const shown = this.#snapshotTasks.get(task.id);
    if (this.#awaitsSnapshot && !shown && !this.#supersededIds?.has(task.id)) return;
    // The snapshot may have read the task after the last poll did.
    const isOutdated = shown !== undefined && shown.etag !== task.etag;
    const now = isOutdated ? { ...shown, aggregation: task.aggregation } : task;
    this.mailbox.put(task.id, isOutdated ? { ...change, task: now } : change);
  }

  /** A task, last seen like this, cannot be read any more. The stream continues after the error. */
  reportUnreadable(task: Task, error: GatewayError): void {
    if (matchesRest(this.#filter, task)) this.mailbox.put(task.id, error);
  }

  /**
   * Ends the stream if it can send nothing more: every task of its range was created before
   * `listedUntil`, up to which all tasks are known, and none of them is among the running ones.
   */
  endIfFinished(listedUntil: Instant, running: Iterable<Task>): void {
    const { created: range } = this.#filter;
    if (this.#awaitsSnapshot || range?.lt === undefined || range.lt > listedUntil) return;
    for (const task of running) if (isWithin(range, task.created)) return;
    this.mailbox.end();
  }

  #addToSnapshot(read: Task, { isUnknown, attach }: SnapshotParts): void {
    if (!matchesRest(this.#filter, read) || this.#supersededIds?.has(read.id)) return;
    const task = attach(read);
    this.mailbox.put(task.id, { kind: 'SNAPSHOT', task });
    if (!isCompleted(task) || isUnknown(task)) this.#snapshotTasks.set(task.id, task);
  }
}
