import type { GatewayError } from '../errors.ts';
import type { Lease } from '../fleet/fleet.ts';
import type { AggregationReading } from '../task/account-aggregation.ts';
import { type ListEvent, type TaskChange, type TaskChangeKind, changeOf } from '../task/change.ts';
import { type TaskFilter, watchedPartOf } from '../task/filter.ts';
import { type Instant, type Task, isCompleted, keepProgress } from '../task/task.ts';
import type { AggregationFeed } from './aggregation-feed.ts';
import type { Cadence } from './cadence.ts';
import { allLeft } from './failure.ts';
import { KnownHead, LATE_BY_MS } from './known-head.ts';
import { ListSubscriber, type ListSubscriberOptions } from './list-subscriber.ts';
import type { Mailbox } from './mailbox.ts';
import { SelectedAggregations } from './selected-aggregations.ts';
import { type HeadRequest, type ListHead, type TaskSource, readableOf } from './source.ts';

export interface ListWatchParts {
  source: TaskSource;
  aggregations: Pick<AggregationFeed, 'watch' | 'unwatch'>;
  cadence: Cadence;
  /** The part of the filter that is watched, as text. Filters with the same key share one watch. */
  key: string;
  /** Requests the right to poll the list for all instances that watch it. */
  openLease(): Lease;
  /** Polls these running tasks of the list from now on. */
  watch(tasks: readonly Task[]): void;
  unwatch(id: string): void;
  onEmpty(): void;
}

/**
 * Watches all tasks that match a filter, for all subscribers to them.
 *
 * Two things are polled: the head of the list, newest first, back to where the last poll began; and every
 * running task of the list, together with all other watched tasks. So the watch notices a task that
 * starts and ends between two polls, and one that begins or stops matching when it ends. Of the
 * conditions of a filter only the completion status can change its result. It is checked here, for each
 * subscriber, and so is the creation date: subscribers of “the last 24 hours”, each with a bound of its
 * own, share a watch.
 *
 * One instance polls the head for all instances. Every instance keeps the rows it received, so any of
 * them can take over the polling.
 *
 * | state        | begins with                  | a message of the group is                     | polls the head |
 * | ------------ | ---------------------------- | --------------------------------------------- | -------------- |
 * | initialising | the first subscriber         | buffered until the existing tasks are read    | no             |
 * | ready        | the end of `initialise`      | compared with the known tasks, and published    | with the lease |
 * | behind       | `fallBehind`, messages lost  | as in ready                                   | once, even without the lease |
 * | closed       | the last subscriber leaves   | ignored                                       | no             |
 */
export class ListWatch {
  readonly key: string;
  readonly cadence: Cadence;
  readonly #watched: TaskFilter;
  readonly #parts: ListWatchParts;
  readonly #subscribers = new Map<Mailbox<ListEvent>, ListSubscriber>();
  readonly #running = new Map<string, Task>();
  readonly #aggregations: SelectedAggregations<ListSubscriber>;
  readonly #head = new KnownHead();
  /** Messages that arrived before the existing tasks were read; null from then on. */
  #bufferedUntilReady: { tasks: readonly Task[]; asOf: Instant }[] | null = [];
  #initialised: Promise<void> | null = null;
  #lease: Lease | null = null;
  #hasChanged = false;
  /** Aborts what is read for the watch when its last subscriber leaves. */
  readonly #closing = new AbortController();

  constructor(filter: TaskFilter, parts: ListWatchParts) {
    this.key = parts.key;
    this.cadence = parts.cadence;
    this.#watched = watchedPartOf(filter);
    this.#parts = parts;
    this.#aggregations = new SelectedAggregations(parts.aggregations);
  }

  get isInitialised(): boolean {
    return this.#bufferedUntilReady === null;
  }

  /** Whether this instance polls the head of the list. */
  get isOurs(): boolean {
    return this.hasSubscribers && (this.#head.isBehind || (this.#lease?.isHeld ?? false));
  }

  get hasSubscribers(): boolean {
    return this.#subscribers.size > 0;
  }

  get runningTasks(): Iterable<Task> {
    return this.#running.values();
  }

  /** The part of the list that the next poll reads. */
  get headRequest(): HeadRequest {
    return { filter: this.#watched, since: this.#head.since, signal: this.#closing.signal };
  }

  subscribe(filter: TaskFilter, options: ListSubscriberOptions): Mailbox<ListEvent> {
    const subscriber = new ListSubscriber(filter, options, () => {
      this.#aggregations.delete(subscriber);
      if (this.#subscribers.delete(subscriber.mailbox) && !this.hasSubscribers) this.#close();
    });
    this.#subscribers.set(subscriber.mailbox, subscriber);
    if (options.withAggregation) this.#aggregations.add(subscriber);
    return subscriber.mailbox;
  }

  /** Reads the existing tasks without publishing them. Only the first call reads. */
  initialise(): Promise<void> {
    return (this.#initialised ??= this.#readExistingTasks());
  }

  /**
   * Sends every task that matches now to one subscriber, then SNAPSHOT_COMPLETE. Call it after
   * `initialise`: a change between the two is then sent twice rather than never. Throws if the
   * snapshot cannot be completed.
   */
  async sendSnapshot(mailbox: Mailbox<ListEvent>): Promise<void> {
    await this.#subscribers.get(mailbox)?.sendSnapshot({
      read: (filter, signal) => this.#parts.source.snapshot(filter, signal),
      isUnknown: task => this.#isNew(task),
      attach: task => this.#aggregations.attach(task),
    });
  }

  /** The tasks of the head that this instance does not know yet. */
  newTasksOf({ rows }: ListHead): Task[] {
    return readableOf(rows).filter(task => this.#isNew(task));
  }

  /** Call this after the head was polled and its new tasks were published. */
  onPolled(): void {
    this.cadence.polled(this.#hasChanged);
    this.#hasChanged = false;
    this.#head.catchUp();
  }

  /**
   * Messages about the list were lost, so this instance polls its head once, even without the
   * lease.
   */
  fallBehind(): void {
    this.#head.fallBehind();
  }

  /** A group message says that these tasks are new on the list. */
  onListed(tasks: readonly Task[], asOf: Instant): void {
    if (this.#bufferedUntilReady !== null) {
      this.#bufferedUntilReady.push({ tasks, asOf });
      return;
    }
    // Publish all before remembering any: remembering a task moves the limit that `#isNew` uses.
    for (const task of tasks.filter(one => this.#isNew(one))) this.#publish(null, task);
    for (const task of tasks) this.#head.add(task, asOf);
    this.#head.forgetOlder();
    for (const subscriber of this.#subscribers.values())
      subscriber.endIfFinished(asOf - LATE_BY_MS, this.#running.values());
  }

  /** A poll read this task. It is ignored if it does not belong to the list. */
  onTask(task: Task): void {
    const before = this.#running.get(task.id);
    if (before !== undefined && this.isInitialised) this.#publish(before, task);
  }

  /**
   * The account aggregation of a task was read. Publishes it to those that select it, if it
   * changed.
   */
  onAggregation(id: string, reading: AggregationReading): void {
    const before = this.#running.get(id);
    const update = this.#aggregations.update(id, reading);
    if (before === undefined || update === null) return;
    const now = keepProgress(before, { ...before, aggregation: reading });
    this.#running.set(id, now);
    const change: TaskChange =
      update === 'first'
        ? { kind: 'UPDATED', task: now, isFirstReading: true }
        : { kind: 'UPDATED', task: now };
    for (const subscriber of this.#aggregations.subscribers) subscriber.publishReading(change);
  }

  /**
   * A task cannot be read any more. Subscribers whose filter it matches get the error, and the list
   * continues.
   */
  onUnreadable(id: string, error: GatewayError): void {
    const task = this.#running.get(id);
    if (task === undefined) return;
    for (const subscriber of this.#subscribers.values()) subscriber.reportUnreadable(task, error);
  }

  /** Upstream no longer has this task. */
  onDeleted(id: string): void {
    this.#stopRunning(id);
  }

  fail(error: GatewayError): void {
    for (const mailbox of this.#subscribers.keys()) mailbox.end(error);
  }

  async #readExistingTasks(): Promise<void> {
    const { source, watch, openLease } = this.#parts;
    // Read the head first. A task that starts after this read will be new at the next poll.
    const { rows, asOf } = await source.readHead(this.headRequest);
    for (const task of readableOf(rows)) {
      this.#head.add(task, asOf);
      if (!isCompleted(task)) this.#running.set(task.id, task);
    }
    for (const task of readableOf(await source.running(this.#watched, this.#closing.signal)))
      if (this.#head.reaches(task)) this.#running.set(task.id, task);
    if (!this.hasSubscribers) return;
    for (const task of this.#running.values()) this.#aggregations.follow(task);
    watch([...this.#running.values()]);
    this.#lease = openLease();
    const buffered = this.#bufferedUntilReady ?? [];
    this.#bufferedUntilReady = null;
    for (const { tasks, asOf: listedAt } of buffered) this.onListed(tasks, listedAt);
  }

  #isNew(task: Task): boolean {
    return !this.#running.has(task.id) && !this.#head.has(task);
  }

  #close(): void {
    this.#closing.abort(allLeft());
    this.#lease?.close();
    if (this.isInitialised) for (const id of this.#running.keys()) this.#parts.unwatch(id);
    this.#parts.onEmpty();
  }

  #run(task: Task): void {
    const isNew = !this.#running.has(task.id);
    this.#running.set(task.id, task);
    this.#aggregations.follow(task);
    if (isNew) this.#parts.watch([task]);
  }

  #stopRunning(id: string): void {
    if (this.#running.delete(id)) this.#parts.unwatch(id);
    this.#aggregations.unfollow(id);
  }

  #publish(before: Task | null, read: Task): void {
    const now = keepProgress(before, this.#aggregations.attach(read));
    if (isCompleted(now)) this.#stopRunning(now.id);
    else this.#run(now);
    if (changeOf(before, now) === null) return;
    this.#hasChanged = true;
    const changes = new Map<TaskChangeKind, TaskChange>();
    for (const subscriber of this.#subscribers.values()) subscriber.publish(before, now, changes);
  }
}
