import type { Clock } from '../../src/clock.ts';
import { until } from './until.ts';

/** The time at which a hand clock starts. */
export const EPOCH = Date.UTC(2026, 7, 20, 6);

/** A clock that only moves when a test moves it. */
export class HandClock implements Clock {
  #now: number;
  readonly #startedAt: number;
  readonly #timers = new Set<{ at: number; run: () => void }>();

  constructor(startAt = EPOCH) {
    this.#now = startAt;
    this.#startedAt = startAt;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now - this.#startedAt;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#now + delayMs, run };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** The number of timers. */
  get waiting(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the first timer is due; Infinity without timers. */
  get nextInMs(): number {
    return Math.min(...[...this.#timers].map(({ at }) => at - this.#now));
  }

  /** Milliseconds until the last timer is due; -Infinity without timers. */
  get lastInMs(): number {
    return Math.max(...[...this.#timers].map(({ at }) => at - this.#now));
  }

  /** Moves the clock, running each timer at its time. */
  advance(byMs: number): void {
    const end = this.#now + byMs;
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
    }
    this.#now = end;
  }
}

/** Resolves once there is no timer: no poll is scheduled, and no request has a deadline. */
export async function quietOf(clock: HandClock, stepMs: number): Promise<void> {
  await until(() => {
    // Lets the event loop run, so that code started by the last timer can set its next one.
    const isQuiet = clock.waiting === 0;
    clock.advance(stepMs);
    return isQuiet;
  });
}
