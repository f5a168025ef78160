import type { Clock } from '../clock.ts';
import type { BudgetLimits, Take } from './fleet.ts';
import { LocalWindow } from './local.ts';
import { CUT_OFF_DIVISOR } from './scripts.ts';

// A connection that broke briefly is back by then, and no slot was given without Redis.
const RECONNECT_GRACE_MS = 1_000;
// By then the other instances know that this one is cut off, and leave its share to it.
const NOTICED_AFTER_MS = 2_500;
// How often a caller tries again while this instance waits to give slots without Redis.
const WAIT_RETRY_MS = 100;

/** What an instance knows when it loses Redis. */
export interface Disconnect {
  /** The number of instances, including this one. */
  instances: number;
  /** Whether the other instances have counted this one. */
  isCounted: boolean;
  /** Milliseconds until each slot is free that any instance may have taken. */
  takenMs: readonly number[];
  /** Milliseconds left of a pause; 0 or less: none. */
  pausedForMs: number;
}

/**
 * The slots that an instance may give while Redis is disconnected: first none, then a tenth of the
 * limit, which the others leave to an instance that is silent. Once all instances are known to have
 * lost Redis, it gives its share of the limit.
 */
export class StandaloneWindow {
  readonly #limits: BudgetLimits;
  readonly #clock: Clock;
  #window: LocalWindow;
  /** The limit of this instance when all instances have lost Redis. */
  #share = 1;
  /** When Redis disconnected, and when slots may be given; on the monotonic clock. */
  #disconnectedAt: number | null = null;
  #givesFrom = -Infinity;

  constructor(limits: BudgetLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#window = new LocalWindow(limits, clock);
  }

  /** Whether the window is in use: from `begin` to `end`. */
  get isActive(): boolean {
    return this.#disconnectedAt !== null;
  }

  begin({ instances, isCounted, takenMs, pausedForMs }: Disconnect): void {
    const { limit, windowMs } = this.#limits;
    // The taken slots are divided among the instances: of each group of `instances` slots, the one
    // that is free last is charged to this instance.
    const charged = takenMs
      .toSorted((one, other) => other - one)
      .filter((_, place) => place % instances === 0);
    this.#disconnectedAt = this.#clock.monotonic();
    this.#givesFrom = this.#disconnectedAt + windowMs + NOTICED_AFTER_MS;
    const tenth = Math.ceil(limit / CUT_OFF_DIVISOR);
    const cutOff = Math.max(1, Math.floor(limit / Math.max(CUT_OFF_DIVISOR, instances)));
    this.#share = isCounted ? Math.max(1, Math.floor((limit - tenth) / instances)) : cutOff;
    this.#window = new LocalWindow({ ...this.#limits, limit: cutOff }, this.#clock, charged);
    this.#window.pause(pausedForMs);
  }

  /** All instances have lost Redis. `isInformed`: whether `takenMs` was complete. */
  onServerDown({ isInformed }: { isInformed: boolean }): void {
    if (this.#disconnectedAt === null) return;
    // If slots may be missing, wait until all slots from before the disconnect have expired.
    const graceMs = isInformed ? RECONNECT_GRACE_MS : this.#limits.windowMs;
    this.#givesFrom = Math.min(this.#givesFrom, this.#disconnectedAt + graceMs);
    this.#window.limit = this.#share;
  }

  end(): void {
    this.#disconnectedAt = null;
  }

  take(isProvisional: boolean): Take {
    const waitMs = this.#givesFrom - this.#clock.monotonic();
    if (waitMs > 0) return { retryInMs: Math.min(waitMs, WAIT_RETRY_MS) };
    return this.#window.take({ isProvisional });
  }

  pause(forMs: number): void {
    this.#window.pause(forMs);
  }

  outlook(): { free: number; pausedForMs: number } {
    const { free, pausedForMs } = this.#window.outlook();
    const waitMs = this.#givesFrom - this.#clock.monotonic();
    return { free, pausedForMs: Math.max(pausedForMs, waitMs) };
  }
}
