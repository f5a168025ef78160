import type { Clock } from '../../clock.ts';
import type { BudgetLimits } from '../../fleet/fleet.ts';

/**
 * Milliseconds between two slots while somebody waits for each. It is measured, because it is longer
 * than the limit alone says: a slot comes back one window after its answer, not after its request,
 * and other instances spend from the same window.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #leastMs: number;
  #meanMs: number;
  #lastAt = -Infinity;
  /** Whether somebody has waited without a break since the last slot. */
  #isSteady = false;

  constructor({ limit, windowMs }: BudgetLimits, clock: Clock) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#leastMs = windowMs / limit;
    this.#meanMs = this.#leastMs;
  }

  /** A slot came; `isNextWaiting`: somebody waits for the one after it. */
  slotCame(isNextWaiting: boolean): void {
    const now = this.#clock.monotonic();
    if (this.#isSteady) this.#meanMs += (now - this.#lastAt - this.#meanMs) / 16;
    this.#lastAt = now;
    this.#isSteady = isNextWaiting;
  }

  /** What passes until the next slot is no measure, because upstream has asked for a pause. */
  interrupt(): void {
    this.#isSteady = false;
  }

  get slotMs(): number {
    // What was measured in another window says nothing about this one.
    if (!this.#isSteady && this.#clock.monotonic() - this.#lastAt > this.#windowMs)
      this.#meanMs = this.#leastMs;
    return Math.max(this.#leastMs, this.#meanMs);
  }
}
