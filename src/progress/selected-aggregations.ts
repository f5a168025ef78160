import { isDeepStrictEqual } from 'node:util';
import type { AggregationReading } from '../task/account-aggregation.ts';
import { type Task, isAccountAggregation, isCompleted } from '../task/task.ts';
import type { AggregationFeed } from './aggregation-feed.ts';

/**
 * The account aggregations of the running tasks of one watch. They are polled while at least one
 * subscriber of the watch selects them.
 */
export class SelectedAggregations<Subscriber> {
  readonly #feed: Pick<AggregationFeed, 'watch' | 'unwatch'>;
  readonly #selecting = new Set<Subscriber>();
  /**
   * The running tasks that are account aggregations, with what was read last; null if nothing was.
   */
  readonly #readings = new Map<string, AggregationReading | null>();

  constructor(feed: Pick<AggregationFeed, 'watch' | 'unwatch'>) {
    this.#feed = feed;
  }

  /** The subscribers that are sent an event when an aggregation has changed. */
  get subscribers(): Iterable<Subscriber> {
    return this.#selecting;
  }

  add(subscriber: Subscriber): void {
    this.#selecting.add(subscriber);
    if (this.#selecting.size === 1) for (const id of this.#readings.keys()) this.#feed.watch(id);
  }

  /** Does nothing for a subscriber that selects no aggregations. */
  delete(subscriber: Subscriber): void {
    if (!this.#selecting.delete(subscriber) || this.#selecting.size > 0) return;
    for (const id of this.#readings.keys()) {
      this.#feed.unwatch(id);
      // It becomes old from now on.
      this.#readings.set(id, null);
    }
  }

  /** The task is watched in this state. */
  follow(task: Task): void {
    if (isCompleted(task)) return this.unfollow(task.id);
    if (this.#readings.has(task.id) || !isAccountAggregation(task)) return;
    this.#readings.set(task.id, null);
    if (this.#selecting.size > 0) this.#feed.watch(task.id);
  }

  /** The task is not watched any more. */
  unfollow(id: string): void {
    if (this.#readings.delete(id) && this.#selecting.size > 0) this.#feed.unwatch(id);
  }

  /** The task with what is known of its aggregation. */
  attach(task: Task): Task {
    const reading = this.#readings.get(task.id);
    return reading ? { ...task, aggregation: reading } : task;
  }

  /** Remembers a reading. Returns null if it is not new or the task is not followed. */
  update(id: string, reading: AggregationReading): 'first' | 'changed' | null {
    const known = this.#readings.get(id);
    if (known === undefined || isDeepStrictEqual(known, reading)) return null;
    this.#readings.set(id, reading);
    return known === null ? 'first' : 'changed';
  }
}
