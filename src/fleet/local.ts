import type { Clock } from '../clock.ts';
import {
  BURST_SHARE,
  type BudgetLimits,
  type BudgetWindow,
  type Fleet,
  type GroupListener,
  type Take,
  type WatchGroup,
} from './fleet.ts';

/** A fleet of a single instance, without Redis. */
export function createLocalFleet(limits: BudgetLimits, clock: Clock): Fleet {
  return {
    status: () => null,
    openWindow: () => new LocalWindow(limits, clock),
    openGroup: (_, listener) => createLocalGroup(listener),
    close: async () => {},
  };
}

/** A group of a single instance, which holds every lease. */
export function createLocalGroup<M>({ receive }: Pick<GroupListener<M>, 'receive'>): WatchGroup<M> {
  const ids = new Set<string>();
  return {
    joined: Promise.resolve(),
    watch: id => ids.add(id),
    unwatch: id => ids.delete(id),
    watchedIds: async () => ids,
    openLease: () => ({ isHeld: true, close: () => {} }),
    publish: message => receive(message),
    close: () => ids.clear(),
  };
}

/**
 * The window of a single instance, in memory.
 *
 * A slot is free again no sooner than one window after its request was answered. Once a burst is
 * spent, the remaining slots are spread over the time until slots come back. Without that, many
 * waiting requests would take the whole window in its first second and then wait for the other
 * nine.
 */
export class LocalWindow implements BudgetWindow {
  /** Slots per window. A change takes effect at the next `take`. */
  limit: number;
  readonly #windowMs: number;
  readonly #clock: Clock;
  /** When each settled slot was settled, on the monotonic clock, oldest first. */
  readonly #settledAt: number[];
  #inFlight = 0;
  #pausedUntil = 0;
  #lastTakenAt = -Infinity;

  /**
   * `taken` are milliseconds until each slot that is already taken is free, in descending order.
   */
  constructor({ limit, windowMs }: BudgetLimits, clock: Clock, taken: readonly number[] = []) {
    this.#settledAt = taken.map(freeInMs => clock.monotonic() + freeInMs - windowMs).toReversed();
    this.limit = limit;
    this.#windowMs = windowMs;
    this.#clock = clock;
  }

  take({ isProvisional } = { isProvisional: false }): Take {
    const now = this.#clock.monotonic();
    const waitMs = this.#waitMs(now);
    if (waitMs > 0) return { retryInMs: waitMs };

    this.#inFlight++;
    if (!isProvisional) this.#lastTakenAt = now;
    let isOpen = true;
    const close = (settledAt: number | null) => {
      if (!isOpen) return;
      isOpen = false;
      this.#inFlight--;
      if (settledAt === null) return;
      this.#settledAt.push(settledAt);
      if (isProvisional) this.#lastTakenAt = Math.max(this.#lastTakenAt, settledAt);
    };
    return {
      slot: {
        // A slot in memory counts until it is settled, so it stays valid.
        isValid: () => isOpen,
        settle: () => close(this.#clock.monotonic()),
        cancel: () => close(null),
      },
    };
  }

  pause(forMs: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.monotonic() + forMs);
  }

  outlook() {
    const now = this.#clock.monotonic();
    const pausedForMs = Math.max(0, this.#pausedUntil - now);
    return { free: this.#freeAt(now), pausedForMs, instances: 1 };
  }

  close(): void {}

  #waitMs(now: number): number {
    if (now < this.#pausedUntil) return this.#pausedUntil - now;
    const free = this.#freeAt(now);
    const [oldest = now] = this.#settledAt;
    const untilNextReturn = oldest + this.#windowMs - now;
    // All slots belong to requests without an answer. It is unknown when the first is settled, so
    // try again soon.
    if (free <= 0)
      return this.#settledAt.length > 0 ? untilNextReturn : this.#windowMs / this.limit;
    if (free > this.limit * (1 - BURST_SHARE)) return 0;
    return this.#lastTakenAt + untilNextReturn / free - now;
  }

  #freeAt(now: number): number {
    const firstKept = this.#settledAt.findIndex(at => at > now - this.#windowMs);
    this.#settledAt.splice(0, firstKept === -1 ? this.#settledAt.length : firstKept);
    return this.limit - this.#inFlight - this.#settledAt.length;
  }
}
