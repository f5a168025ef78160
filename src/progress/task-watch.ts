import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { AggregationReading } from '../task/account-aggregation.ts';
import { changeOf } from '../task/change.ts';
import { type Task, isCompleted, keepProgress } from '../task/task.ts';
import type { AggregationFeed } from './aggregation-feed.ts';
import { Mailbox } from './mailbox.ts';
import { SelectedAggregations } from './selected-aggregations.ts';
import type { TaskSource } from './source.ts';

export interface TaskWatchParts {
  source: Pick<TaskSource, 'load'>;
  aggregations: Pick<AggregationFeed, 'watch' | 'unwatch'>;
  clock: Clock;
  /**
   * Milliseconds for which new subscribers are sent the last published state instead of a fresh
   * read. Polls are frequent during that time.
   */
  youngForMs: number;
  /** A subscriber needs the current state, so `initialise` must be called. */
  onStateNeeded(): void;
  onEmpty(): void;
}

/** Watches one task for all its subscribers. */
export class TaskWatch {
  readonly id: string;
  readonly #parts: TaskWatchParts;
  readonly #subscribers = new Set<Mailbox<Task>>();
  /** Subscribers that wait for their first event. */
  readonly #waiting = new Set<Mailbox<Task>>();
  readonly #aggregations: SelectedAggregations<Mailbox<Task>>;
  readonly #onLeave = (mailbox: Mailbox<Task>) => {
    this.#waiting.delete(mailbox);
    this.#aggregations.delete(mailbox);
    if (this.#subscribers.delete(mailbox) && this.#subscribers.size === 0) this.#parts.onEmpty();
  };
  #lastPublished: Task | null = null;
  #youngUntil = -Infinity;
  #publishCount = 0;

  constructor(id: string, parts: TaskWatchParts) {
    this.id = id;
    this.#parts = parts;
    this.#aggregations = new SelectedAggregations(parts.aggregations);
  }

  get hasSubscribers(): boolean {
    return this.#subscribers.size > 0;
  }

  /** The etag of the state that subscribers have; null if they have none. */
  get etag(): string | null {
    return this.#lastPublished?.etag ?? null;
  }

  /** `withAggregation`: a change of the account aggregation is an event for this subscriber. */
  subscribe(withAggregation: boolean): Mailbox<Task> {
    const { clock, onStateNeeded } = this.#parts;
    const mailbox = new Mailbox<Task>(this.#onLeave);
    this.#subscribers.add(mailbox);
    if (withAggregation) this.#aggregations.add(mailbox);
    if (this.#lastPublished !== null && clock.monotonic() < this.#youngUntil) {
      mailbox.put(this.id, this.#lastPublished);
      return mailbox;
    }
    this.#waiting.add(mailbox);
    if (this.#waiting.size === 1) onStateNeeded();
    return mailbox;
  }

  /** Reads the current state for the subscribers that wait for it. Throws if it cannot be read. */
  async initialise(): Promise<void> {
    const countBefore = this.#publishCount;
    const task = await this.#parts.source.load(this.id);
    // A poll published a state during the read, and that state may be newer.
    if (this.#publishCount !== countBefore) return;
    if (task) this.onTask(task);
    else this.fail(new GatewayError('NOT_FOUND', 'Upstream has no such task.'));
  }

  /**
   * Publishes a state that was read: to all subscribers if it changed, else only to those that
   * wait.
   */
  onTask(read: Task): void {
    const task = keepProgress(this.#lastPublished, this.#aggregations.attach(read));
    this.#aggregations.follow(task);
    this.#publishCount++;
    this.#youngUntil = this.#parts.clock.monotonic() + this.#parts.youngForMs;
    const hasChanged = changeOf(this.#lastPublished, task) !== null;
    // All subscribers get the same object, so transports serialize it once.
    const published = hasChanged || this.#lastPublished === null ? task : this.#lastPublished;
    this.#lastPublished = published;
    for (const mailbox of hasChanged ? this.#subscribers : this.#waiting) {
      mailbox.put(this.id, published);
      if (isCompleted(published)) mailbox.end();
    }
    this.#waiting.clear();
  }

  /** The account aggregation was read. Publishes it to those that select it, if it changed. */
  onAggregation(reading: AggregationReading): void {
    const before = this.#lastPublished;
    if (before === null || this.#aggregations.update(this.id, reading) === null) return;
    const task = keepProgress(before, { ...before, aggregation: reading });
    this.#lastPublished = task;
    for (const mailbox of this.#aggregations.subscribers)
      if (!this.#waiting.has(mailbox)) mailbox.put(this.id, task);
  }

  /** The current state could not be read. Ends the subscriptions that wait for it. */
  refuse(error: GatewayError): void {
    for (const mailbox of this.#waiting) mailbox.end(error);
  }

  onDeleted(): void {
    this.fail(new GatewayError('NOT_FOUND', 'The task was deleted: upstream no longer has it.'));
  }

  fail(error: GatewayError): void {
    for (const mailbox of this.#subscribers) mailbox.end(error);
  }
}
