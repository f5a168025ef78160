import type { Clock } from '../clock.ts';

/** Options of a Cadence. */
export interface CadenceOptions {
  clock: Clock;
  /** The shortest time between two polls, in milliseconds. */
  intervalMs: number;
  /** Milliseconds to the first poll; one interval by default. */
  firstInMs?: number | undefined;
  /** The part of the request budget that is spent, 0–1. */
  pressure(): number;
}

// A new or changed task is polled in each of the next ten intervals. After that each poll without a
// change lengthens the delay, up to a maximum.
export const LIVELY_INTERVALS = 10;
const QUIET_GROWTH = 1.5;
export const MAX_QUIET_INTERVALS = 5;
// When more than this part of the budget is spent, polls slow down to leave requests for readers.
export const CALM_PRESSURE = 0.5;
const MAX_STRETCH = 3;

/**
 * Decides when a watched task or list is polled next: often while it is new or changing, less often
 * while it is quiet. At most 15 intervals pass, when the task is quiet and the budget is spent.
 */
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

  /** Call this after each poll. Plans the next one. */
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

  /** Rounds the time to a grid shared by all watches, so that their polls can be joined. */
  #onGrid(delayMs: number): number {
    const { clock, intervalMs } = this.#options;
    const now = clock.monotonic() / intervalMs;
    return Math.max(Math.floor(now) + 1, Math.round(now + delayMs / intervalMs)) * intervalMs;
  }
}
