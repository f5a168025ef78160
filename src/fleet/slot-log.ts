import type { Clock } from '../clock.ts';

/** The slots of a budget that any instance has taken, with the time at which each is free. */
export class SlotLog {
  readonly #clock: Clock;
  /** Times on the monotonic clock. */
  readonly #freeAt = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The number of slots in the log, which may include some that are free again. */
  get size(): number {
    return this.#freeAt.size;
  }

  /** Whether the log holds this slot and it is not free yet. */
  has(id: string): boolean {
    return (this.#freeAt.get(id) ?? -Infinity) > this.#clock.monotonic();
  }

  /** Records when a slot is free; 0: now. */
  put(id: string, freeInMs: number): void {
    const now = this.#clock.monotonic();
    // Move the slot to the end, so that the first ones are those updated longest ago. Drop them
    // once they are free.
    this.#freeAt.delete(id);
    if (freeInMs > 0) this.#freeAt.set(id, now + freeInMs);
    for (const [oldest, freeAt] of this.#freeAt) {
      if (freeAt > now) break;
      this.#freeAt.delete(oldest);
    }
  }

  /** Milliseconds until each taken slot is free, in descending order. */
  taken(): [id: string, freeInMs: number][] {
    const now = this.#clock.monotonic();
    for (const [id, freeAt] of this.#freeAt) if (freeAt <= now) this.#freeAt.delete(id);
    return [...this.#freeAt]
      .map(([id, freeAt]): [string, number] => [id, freeAt - now])
      .toSorted(([, one], [, other]) => other - one);
  }
}
