import type { Clock } from '../../clock.ts';
import type { BudgetLimits } from '../../fleet/fleet.ts';

/**
 * Measures the milliseconds between two slots while requests wait. They are more than the limit
 * alone implies: a slot becomes free one window after its answer, not after its request, and other
 * instances spend from the same window.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #leastMs: number;
  #meanMs: number;
  #lastAt = -Infinity;
  /** Whether requests have waited without a break since the last slot. */
  #isSteady = false;

  constructor({ limit, windowMs }: BudgetLimits, clock: Clock) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#leastMs = windowMs / limit;
    this.#meanMs = this.#leastMs;
  }

  /** Records a granted slot. `isNextWaiting`: a request waits for the one after it. */
  recordSlot(isNextWaiting: boolean): void {
    const now = this.#clock.monotonic();
    if (this.#isSteady) this.#meanMs += (now - this.#lastAt - this.#meanMs) / 16;
    this.#lastAt = now;
    this.#isSteady = isNextWaiting;
  }

  /** Ignores the time until the next slot, because upstream requested a pause. */
  interrupt(): void {
    this.#isSteady = false;
  }

  /** Milliseconds per slot, at least what the limit implies. */
  get msPerSlot(): number {
    // A measurement from before this window no longer applies.
    if (!this.#isSteady && this.#clock.monotonic() - this.#lastAt > this.#windowMs)
      this.#meanMs = this.#leastMs;
    return Math.max(this.#leastMs, this.#meanMs);
  }
}
