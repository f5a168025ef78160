import type { Signal } from '../../signal.ts';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { RoundRobin } from './round-robin.ts';

/** A request that waits because its token is not proven yet. */
export interface QueueRequest {
  /** The client's address. Addresses are served round robin. */
  address: string;
  /**
   * Whether the token's client has proven another token from this address before. Known addresses
   * go first.
   */
  isKnown: boolean;
  /** Milliseconds after which the request is refused. */
  maxWaitMs: number;
  signal: Signal;
}

// More requests would not be served in time, and each takes memory.
const MAX_WAITING = 10_000;
const MAX_WAITING_PER_ADDRESS = 2_000;

/** A queue of requests with unproven tokens, in which client addresses take turns. */
export class AddressQueue<T> {
  readonly #clock: Clock;
  readonly #forecastMs: (ahead: number) => number;
  readonly #known = new RoundRobin<(value: T) => void>();
  readonly #unknown = new RoundRobin<(value: T) => void>();

  /** `forecastMs`: how long a request waits with so many ahead of it. */
  constructor(clock: Clock, forecastMs: (ahead: number) => number) {
    this.#clock = clock;
    this.#forecastMs = forecastMs;
  }

  get size(): number {
    return this.#known.size + this.#unknown.size;
  }

  /** Whether a request from a known address waits. It is served next. */
  hasKnown(): boolean {
    return this.#known.size > 0;
  }

  /**
   * Resolves when the request is served. Rejects with RATE_LIMITED if that takes too long, or with
   * the signal's reason.
   */
  enqueue({ address, isKnown, maxWaitMs, signal }: QueueRequest): Promise<T> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const turns = isKnown ? this.#known : this.#unknown;
      const waitMs = this.#forecastMs(turns.ahead(address) + (isKnown ? 0 : this.#known.size));
      if (
        waitMs > maxWaitMs ||
        this.size >= MAX_WAITING ||
        turns.sizeOf(address) >= MAX_WAITING_PER_ADDRESS
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
      const cancelTimer = this.#clock.after(maxWaitMs, () => {
        leave();
        reject(tooLong(this.#forecastMs(turns.ahead(address))));
      });
      signal.addEventListener('abort', onAbort);
      turns.add(address, grant);
    });
  }

  /**
   * Serves the next request, with `onlyKnown` only one from a known address. Returns whether there
   * was one.
   */
  serve(value: T, onlyKnown = false): boolean {
    const grant = this.#known.next() ?? (onlyKnown ? undefined : this.#unknown.next());
    grant?.(value);
    return grant !== undefined;
  }
}

function tooLong(waitMs: number): GatewayError {
  return new GatewayError(
    'RATE_LIMITED',
    'Too many requests with tokens that upstream has not accepted yet are waiting.',
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
  );
}
