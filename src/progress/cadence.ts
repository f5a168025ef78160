import type { Clock } from '../clock.ts';

/** How often something watched is polled: often while it is new or changing, less while it is quiet. */
export interface CadenceOptions {
  clock: Clock;
  /** Milliseconds from one poll to the next at the least. */
  intervalMs: number;
  /** Milliseconds to the first poll; one interval by default. */
  firstInMs?: number | undefined;
  /** The part of the request budget that is spent, 0–1. */
  pressure(): number;
}

// After its start and after a change it is polled in each of so many intervals. Then each quiet poll makes
// the next one wait longer, up to a maximum.
export const LIVELY_INTERVALS = 10;
const QUIET_GROWTH = 1.5;
const MAX_QUIET_INTERVALS = 5;
// Above this part of the budget polls give way to readers, the more the less is left.
const CALM_PRESSURE = 0.5;
const MAX_STRETCH = 3;

/** When something watched is due. At most 15 intervals pass: a quiet task on a spent budget. */
export class Cadence {
  readonly #options: CadenceOptions;
  #livelyUntil: number;
  #quietMs: number;
  #dueAt: number;

  constructor(options: CadenceOptions) {
    this.#options = options;
    this.#livelyUntil = options.clock.monotonic() + LIVELY_INTERVALS * options.intervalMs;
    this.#quietMs = options.intervalMs;
    const { firstInMs = options.intervalMs } = options;
    this.#dueAt = firstInMs === 0 ? options.clock.monotonic() : this.#onGrid(firstInMs);
  }

  /** When the next poll is due, on the monotonic clock. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** A poll is done, and found a change or not. */
  polled(hasChanged: boolean): void {
    const { clock, intervalMs, pressure } = this.#options;
    const now = clock.monotonic();
    if (hasChanged) this.#livelyUntil = now + LIVELY_INTERVALS * intervalMs;
    this.#quietMs =
      now < this.#livelyUntil
        ? intervalMs
        : Math.min(this.#quietMs * QUIET_GROWTH, MAX_QUIET_INTERVALS * intervalMs);
    const scarcity = Math.max(0, pressure() - CALM_PRESSURE) / (1 - CALM_PRESSURE);
    this.#dueAt = this.#onGrid(this.#quietMs * (1 + scarcity * (MAX_STRETCH - 1)));
  }

  /** About that long from now, on a grid that all watches share, so that they are polled together. */
  #onGrid(delayMs: number): number {
    const { clock, intervalMs } = this.#options;
    const now = clock.monotonic() / intervalMs;
    return Math.max(Math.floor(now) + 1, Math.round(now + delayMs / intervalMs)) * intervalMs;
  }
}
