import type { Instant, Task } from '../task/task.ts';

// Upstream may list a task a moment after one that was created later.
export const LATE_BY_MS = 60_000;

/** The tasks on the head of a list that were seen before, to tell the new ones from them. */
export class KnownHead {
  /** Creation dates of the tasks on the head, by id. */
  readonly #recent = new Map<string, Instant>();
  #newestCreated: Instant | null = null;
  /**
   * After messages were lost, the creation date from which the list is read again; null if the list
   * was empty. Undefined: no messages were lost.
   */
  #behindSince: Instant | null | undefined = undefined;

  /** The creation date from which the next poll reads the list; null if the list was empty. */
  get since(): Instant | null {
    if (this.#behindSince !== undefined) return this.#behindSince;
    return this.#newestCreated === null ? null : this.#newestCreated - LATE_BY_MS;
  }

  /** Whether messages were lost since the last poll. */
  get isBehind(): boolean {
    return this.#behindSince !== undefined;
  }

  /** Messages about the list were lost, so tasks from here on may be unknown. */
  fallBehind(): void {
    if (this.#behindSince === undefined) this.#behindSince = this.since;
  }

  /** The list was read from `since`. */
  catchUp(): void {
    this.#behindSince = undefined;
  }

  /** Whether the task may have been seen. Those before `since` were, and have been forgotten. */
  has({ id, created }: Task): boolean {
    return this.#recent.has(id) || created < (this.since ?? -Infinity);
  }

  /** Whether the task is no newer than the newest that was seen. */
  reaches({ created }: Task): boolean {
    return created <= (this.#newestCreated ?? -Infinity);
  }

  /**
   * `asOf` is when the list was read. A later creation date would make all later tasks look old.
   */
  add({ id, created }: Task, asOf: Instant): void {
    this.#recent.set(id, created);
    this.#newestCreated = Math.max(this.#newestCreated ?? -Infinity, Math.min(created, asOf));
  }

  /** Forgets tasks that the next poll does not read. */
  forgetOlder(): void {
    const oldest = this.since ?? -Infinity;
    for (const [id, created] of this.#recent) if (created < oldest) this.#recent.delete(id);
  }
}
