import type { Clock } from '../clock.ts';

/** The slots of a budget that are taken, by whichever instance, and when each is free again. */
export class SlotLog {
  readonly #clock: Clock;
  /** On the monotonic clock. */
  readonly #freeAt = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many are kept. */
  get size(): number {
    return this.#freeAt.size;
  }

  /** Whether a slot is kept that is not known to be free. */
  has(id: string): boolean {
    return (this.#freeAt.get(id) ?? -Infinity) > this.#clock.monotonic();
  }

  /** `freeInMs` 0: it is free. */
  put(id: string, freeInMs: number): void {
    const now = this.#clock.monotonic();
    // Last again: what is longest unheard of comes first, and is dropped once it is free.
    this.#freeAt.delete(id);
    if (freeInMs > 0) this.#freeAt.set(id, now + freeInMs);
    for (const [oldest, freeAt] of this.#freeAt) {
      if (freeAt > now) break;
      this.#freeAt.delete(oldest);
    }
  }

  /** Milliseconds until each slot that is taken is free, the last first. */
  taken(): [id: string, freeInMs: number][] {
    const now = this.#clock.monotonic();
    for (const [id, freeAt] of this.#freeAt) if (freeAt <= now) this.#freeAt.delete(id);
    return [...this.#freeAt]
      .map(([id, freeAt]): [string, number] => [id, freeAt - now])
      .toSorted(([, one], [, other]) => other - one);
  }
}
