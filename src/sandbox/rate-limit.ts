import type { Clock } from '../clock.ts';

/**
 * Upstream's rate limit in its strictest form: no period of `windowMs` may hold more than `limit`
 * requests.
 */
export class RateLimit {
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #clock: Clock;
  readonly #admitted = new Map<string, number[]>();

  constructor(limit: number, windowMs: number, clock: Clock) {
    this.#limit = limit;
    this.#windowMs = windowMs;
    this.#clock = clock;
  }

  /**
   * Counts a request of `key`. Returns null if it is allowed, else the seconds until the next one
   * is.
   */
  admit(key: string): number | null {
    const now = this.#clock.monotonic();
    const recent = (this.#admitted.get(key) ?? []).filter(at => at > now - this.#windowMs);
    this.#admitted.set(key, recent);
    if (recent.length < this.#limit) {
      recent.push(now);
      return null;
    }
    const [oldest = now] = recent;
    return Math.max(1, Math.ceil((oldest + this.#windowMs - now) / 1000));
  }
}
