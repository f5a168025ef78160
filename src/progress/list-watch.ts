import { GatewayError } from '../errors.ts';
import type { Lease } from '../fleet/fleet.ts';
import { type TaskChange, type TaskChangeKind, changeOf, joinChanges } from '../task/change.ts';
import { type TaskFilter, lastingPartOf, matchesCompletion } from '../task/filter.ts';
import { type Instant, type Task, isCompleted, keepProgress } from '../task/task.ts';
import type { Cadence } from './cadence.ts';
import { Mailbox } from './mailbox.ts';
import type { HeadRequest, ListHead, TaskRow, TaskSource } from './source.ts';

interface Subscriber {
  filter: TaskFilter;
  /** Tasks of its snapshot as they were sent, until the watch has found them on the list and got as far. */
  snapshotTasks: Map<string, Task>;
  /** Tasks sent since its snapshot was requested, which is older; null: no snapshot is on its way. */
  supersededIds: Set<string> | null;
}

// A task may appear on upstream's lists a moment after one that was created later.
export const LATE_BY_MS = 60_000;
// A snapshot is for a screen; more than this many tasks ask for a narrower filter.
const MAX_SNAPSHOT = 5_000;

export interface ListWatchParts {
  source: TaskSource;
  cadence: Cadence;
  /** The lasting part of the filter as text: watches with the same are one. */
  key: string;
  /** The right to poll the list for all instances that watch it. */
  openLease(): Lease;
  /** These running tasks of it are to be polled. */
  watch(tasks: readonly Task[]): void;
  unwatch(id: string): void;
  onEmpty(): void;
}

/**
 * All tasks that match a filter, and all subscribers to them.
 *
 * Two things are polled for it: the head of the list, newest first, back to where the last poll began; and,
 * with all other watched tasks, every task of it that runs. So a task is seen that starts and ends between
 * two polls, and one that begins or ceases to match by ending. A task's match with a filter never changes
 * but for the completion status: that part is decided here, for each subscriber.
 *
 * One instance polls the head for all that watch the list. Each keeps what it was sent: the instance that
 * polls next goes on from there.
 *
 * | state        | begins with                  | a message of the group is                     | polls the head |
 * | ------------ | ---------------------------- | --------------------------------------------- | -------------- |
 * | initialising | the first subscriber         | buffered until it is known what was there     | no             |
 * | ready        | the end of `initialise`      | compared with what is known, and published    | with the lease |
 * | behind       | `fallBehind`, messages lost  | as in ready                                   | once in any case |
 * | closed       | the last subscriber leaves   | ignored                                       | no             |
 */
export class ListWatch {
  readonly key: string;
  readonly cadence: Cadence;
  readonly #lasting: TaskFilter;
  readonly #parts: ListWatchParts;
  readonly #subscribers = new Map<Mailbox<TaskChange>, Subscriber>();
  readonly #running = new Map<string, Task>();
  /** Tasks on the head of the list, by creation: they are not published again as new. */
  readonly #recent = new Map<string, Instant>();
  #newestCreated: Instant | null = null;
  /** What was listed before it is known what was there; null from then on. */
  #bufferedUntilReady: { tasks: readonly Task[]; asOf: Instant }[] | null = [];
  #initialised: Promise<void> | null = null;
  #lease: Lease | null = null;
  /** Messages were lost: from when on the list is to be read again; null: it was empty. Undefined: none were lost. */
  #behindSince: Instant | null | undefined = undefined;
  #hasChanged = false;
  /** Aborts what is read for the watch when its last subscriber leaves. */
  readonly #closing = new AbortController();

  constructor(filter: TaskFilter, parts: ListWatchParts) {
    this.key = parts.key;
    this.cadence = parts.cadence;
    this.#lasting = lastingPartOf(filter);
    this.#parts = parts;
  }

  get isInitialised(): boolean {
    return this.#bufferedUntilReady === null;
  }

  /** Whether this instance is to poll the head of the list. */
  get isOurs(): boolean {
    return (
      this.hasSubscribers && (this.#behindSince !== undefined || (this.#lease?.isHeld ?? false))
    );
  }

  get hasSubscribers(): boolean {
    return this.#subscribers.size > 0;
  }

  get runningTasks(): Iterable<Task> {
    return this.#running.values();
  }

  /** What to read of the list next. */
  get headRequest(): HeadRequest {
    return { filter: this.#lasting, since: this.#since, signal: this.#closing.signal };
  }

  /** Tasks created before this are not compared with the list any more. */
  get #since(): Instant | null {
    if (this.#behindSince !== undefined) return this.#behindSince;
    return this.#newestCreated === null ? null : this.#newestCreated - LATE_BY_MS;
  }

  subscribe(filter: TaskFilter): Mailbox<TaskChange> {
    const mailbox = new Mailbox<TaskChange>(() => {
      if (this.#subscribers.delete(mailbox) && !this.hasSubscribers) this.#close();
    }, joinChanges);
    this.#subscribers.set(mailbox, { filter, snapshotTasks: new Map(), supersededIds: null });
    return mailbox;
  }

  /** Reads what is there and publishes none of it. Done once, however often it is called. */
  initialise(): Promise<void> {
    return (this.#initialised ??= this.#readWhatIsThere());
  }

  /** Sends one subscriber every task that matches now. Call it after `initialise`: changes between the two are sent twice, not never. */
  async sendSnapshot(mailbox: Mailbox<TaskChange>): Promise<void> {
    const subscriber = this.#subscribers.get(mailbox);
    if (subscriber === undefined) return;
    subscriber.supersededIds = new Set();
    const leaving = new AbortController();
    mailbox.whenClosed(() => leaving.abort(allLeft()));
    let count = 0;
    for await (const rows of this.#parts.source.snapshot(subscriber.filter, leaving.signal)) {
      if (!this.#subscribers.has(mailbox)) return;
      for (const task of readableOf(rows))
        if (matchesCompletion(subscriber.filter, task)) this.#addToSnapshot(task, mailbox);
      count += rows.length;
      if (count > MAX_SNAPSHOT)
        throw new GatewayError(
          'BAD_USER_INPUT',
          `More than ${MAX_SNAPSHOT} tasks match. A snapshot needs a narrower filter.`,
        );
    }
    subscriber.supersededIds = null;
  }

  /** The tasks of the head that are new to this instance. */
  newTasksOf({ rows }: ListHead): Task[] {
    return readableOf(rows).filter(task => this.#isNew(task));
  }

  /** The head was polled, and what was new on it was published. */
  onPolled(): void {
    this.cadence.polled(this.#hasChanged);
    this.#hasChanged = false;
    this.#behindSince = undefined;
  }

  /** Messages about the list were lost: this instance polls its head once itself. */
  fallBehind(): void {
    if (this.#behindSince === undefined) this.#behindSince = this.#since;
  }

  /** These tasks are new on the list. */
  onListed(tasks: readonly Task[], asOf: Instant): void {
    if (this.#bufferedUntilReady !== null) {
      this.#bufferedUntilReady.push({ tasks, asOf });
      return;
    }
    // All of them before any is remembered, which moves the bound of what is new.
    for (const task of tasks.filter(one => this.#isNew(one))) this.#publish(null, task);
    for (const task of tasks) this.#remember(task, asOf);
    const oldest = this.#since ?? -Infinity;
    for (const [id, created] of this.#recent) if (created < oldest) this.#recent.delete(id);
  }

  /** A watched task, of this list or not, was read. */
  onTask(task: Task): void {
    const before = this.#running.get(task.id);
    if (before !== undefined && this.isInitialised) this.#publish(before, task);
  }

  /** A watched task, of this list or not, cannot be read any more. The list goes on. */
  onUnreadable(id: string, error: GatewayError): void {
    const task = this.#running.get(id);
    if (task === undefined) return;
    for (const [mailbox, { filter }] of this.#subscribers)
      if (matchesCompletion(filter, task)) mailbox.put(id, error);
  }

  onDeleted(id: string): void {
    this.#stopRunning(id);
  }

  fail(error: GatewayError): void {
    for (const mailbox of this.#subscribers.keys()) mailbox.end(error);
  }

  async #readWhatIsThere(): Promise<void> {
    const { source, watch, openLease } = this.#parts;
    // The head first: a task that starts meanwhile is newer than it, and is new at the next poll.
    const { rows, asOf } = await source.readHead(this.headRequest);
    for (const task of readableOf(rows)) {
      this.#remember(task, asOf);
      if (!isCompleted(task)) this.#running.set(task.id, task);
    }
    for (const task of readableOf(await source.running(this.#lasting, this.#closing.signal)))
      if (task.created <= (this.#newestCreated ?? -Infinity)) this.#running.set(task.id, task);
    if (!this.hasSubscribers) return;
    watch([...this.#running.values()]);
    this.#lease = openLease();
    const buffered = this.#bufferedUntilReady ?? [];
    this.#bufferedUntilReady = null;
    for (const { tasks, asOf: listedAt } of buffered) this.onListed(tasks, listedAt);
  }

  #addToSnapshot(task: Task, mailbox: Mailbox<TaskChange>): void {
    const subscriber = this.#subscribers.get(mailbox);
    if (subscriber === undefined || subscriber.supersededIds?.has(task.id)) return;
    mailbox.put(task.id, { kind: 'SNAPSHOT', task });
    if (!isCompleted(task) || this.#isNew(task)) subscriber.snapshotTasks.set(task.id, task);
  }

  #isNew({ id, created }: Task): boolean {
    if (this.#recent.has(id) || this.#running.has(id)) return false;
    // Older ones were known and have been forgotten.
    return created >= (this.#since ?? -Infinity);
  }

  #close(): void {
    this.#closing.abort(allLeft());
    this.#lease?.close();
    if (this.isInitialised) for (const id of this.#running.keys()) this.#parts.unwatch(id);
    this.#parts.onEmpty();
  }

  #remember({ id, created }: Task, asOf: Instant): void {
    this.#recent.set(id, created);
    // A date in the future would place every task that follows before the head.
    this.#newestCreated = Math.max(this.#newestCreated ?? -Infinity, Math.min(created, asOf));
  }

  #run(task: Task): void {
    const isNew = !this.#running.has(task.id);
    this.#running.set(task.id, task);
    if (isNew) this.#parts.watch([task]);
  }

  #stopRunning(id: string): void {
    if (this.#running.delete(id)) this.#parts.unwatch(id);
  }

  #publish(before: Task | null, read: Task): void {
    const now = keepProgress(before, read);
    if (isCompleted(now)) this.#stopRunning(now.id);
    else this.#run(now);
    if (changeOf(before, now) === null) return;
    this.#hasChanged = true;
    // One object for all that are sent the same: what transports make of it is made once.
    const changes = new Map<TaskChangeKind, TaskChange>();
    for (const [mailbox, { filter, snapshotTasks, supersededIds }] of this.#subscribers) {
      supersededIds?.add(now.id);
      const shown = snapshotTasks.get(now.id) ?? null;
      const kind = kindFor(filter, before ?? shown, now);
      const task = keepProgress(shown, now);
      if (task === now) snapshotTasks.delete(now.id);
      if (kind === null) continue;
      const change = (task === now && changes.get(kind)) || { kind, task };
      if (task === now) changes.set(kind, change);
      mailbox.put(now.id, change);
    }
  }
}

/** What a change is to one subscriber: its filter may begin or cease to match as the task ends. */
function kindFor(filter: TaskFilter, before: Task | null, now: Task): TaskChangeKind | null {
  const kind = changeOf(before, now);
  if (kind === null) return null;
  // A task never seen before began without a completion status, as every task does.
  const matchedBefore =
    before === null ? filter.completionStatusIsNull === true : matchesCompletion(filter, before);
  if (!matchesCompletion(filter, now)) return matchedBefore && kind === 'COMPLETED' ? kind : null;
  if (kind === 'COMPLETED') return kind;
  return before === null || !matchedBefore ? 'ADDED' : kind;
}

/** Why a read was given up. There is nobody left to be told. */
function allLeft(): GatewayError {
  return new GatewayError('UPSTREAM_UNAVAILABLE', 'The last subscriber has left.');
}

function readableOf(rows: readonly TaskRow[]): Task[] {
  return rows.filter((row): row is Task => !(row instanceof GatewayError));
}
