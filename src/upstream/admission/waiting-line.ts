import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { Turns } from './turns.ts';

/** How somebody waits whose token is not proven yet. */
export interface LineRequest {
  /** Addresses take turns. */
  address: string;
  /** Whether the client that the token names has proven a token from this address before: those go first. */
  isKnown: boolean;
  /** Milliseconds after which it is refused. */
  patienceMs: number;
  signal: AbortSignal;
}

// More would not be served in time, and each of them takes memory.
const MAX_WAITING = 10_000;
const MAX_WAITING_BY_ADDRESS = 2_000;

/** A line of those whose tokens are not proven yet. */
export class WaitingLine<T> {
  readonly #clock: Clock;
  readonly #forecastMs: (ahead: number) => number;
  readonly #known = new Turns<(value: T) => void>();
  readonly #unknown = new Turns<(value: T) => void>();

  /** `forecastMs`: how long somebody waits with so many ahead. */
  constructor(clock: Clock, forecastMs: (ahead: number) => number) {
    this.#clock = clock;
    this.#forecastMs = forecastMs;
  }

  get size(): number {
    return this.#known.size + this.#unknown.size;
  }

  /** Whether the next to be served is known; null where nobody waits, or none who is known. */
  hasKnown(): boolean {
    return this.#known.size > 0;
  }

  /** Resolves when it is served. Rejects with RATE_LIMITED where that takes too long, and with the signal's reason. */
  join({ address, isKnown, patienceMs, signal }: LineRequest): Promise<T> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const turns = isKnown ? this.#known : this.#unknown;
      const waitMs = this.#forecastMs(turns.ahead(address) + (isKnown ? 0 : this.#known.size));
      if (
        waitMs > patienceMs ||
        this.size >= MAX_WAITING ||
        turns.sizeOf(address) >= MAX_WAITING_BY_ADDRESS
      )
        throw tooLong(waitMs);
      const leave = () => {
        turns.delete(address, grant);
        cancelTimer();
        signal.removeEventListener('abort', onAbort);
      };
      const grant = (value: T) => {
        leave();
        resolve(value);
      };
      const onAbort = () => {
        leave();
        reject(signal.reason);
      };
      const cancelTimer = this.#clock.after(patienceMs, () => {
        leave();
        reject(tooLong(this.#forecastMs(turns.ahead(address))));
      });
      signal.addEventListener('abort', onAbort);
      turns.add(address, grant);
    });
  }

  /** Serves the next; `onlyKnown`: unless it is unknown. Whether somebody was served. */
  serve(value: T, onlyKnown = false): boolean {
    const grant = this.#known.next() ?? (onlyKnown ? undefined : this.#unknown.next());
    grant?.(value);
    return grant !== undefined;
  }
}

function tooLong(waitMs: number): GatewayError {
  return new GatewayError(
    'RATE_LIMITED',
    'Too many tokens that upstream has not accepted yet are waiting to be tried.',
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
  );
}
