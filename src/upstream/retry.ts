import {
  ConsecutiveBreaker,
  type IPolicy,
  circuitBreaker,
  handleWhen,
  isBrokenCircuitError,
} from 'cockatiel';
import { GatewayError } from '../errors.ts';

/** What a retry has to know of a failed attempt. */
export interface Repeatable {
  /** Whether it changes nothing upstream, so that it may be sent twice. */
  isSafe: boolean;
}

/** How often a request is sent at the most, the first time included. */
const MAX_ATTEMPTS = 4;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 2_000;

/** Each request earns this part of a retry, up to a store; so failing costs at most half as much again. */
const RETRIES_PER_REQUEST = 0.5;
const MAX_STORED_RETRIES = 50;

/** Failures in a row after which upstream is left alone, and for how long. */
const BREAK_AFTER = 12;
const BREAK_FOR_MS = 5_000;

const TRANSIENT = new Set([
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_INVALID_RESPONSE',
]);

// Of these, nothing has left this machine.
const UNSENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Decides, for one upstream, what is worth another attempt and when. */
export class Retries {
  readonly #random: () => number;
  #stored = MAX_STORED_RETRIES;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** A request sets out. */
  earn(): void {
    this.#stored = Math.min(MAX_STORED_RETRIES, this.#stored + RETRIES_PER_REQUEST);
  }

  /** Milliseconds until the next attempt after this failure, the `attempt`-th; null where it is final. */
  backoffMs(error: unknown, attempt: number, { isSafe }: Repeatable): number | null {
    const isWorthIt = isTransient(error) && (isSafe || wasUnsent(error));
    if (!isWorthIt || attempt >= MAX_ATTEMPTS || this.#stored < 1) return null;
    this.#stored--;
    // Full jitter: callers that failed together do not come back together.
    const jitterMs = this.#random() * Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
    return Math.max(jitterMs, (error.extensions.retryAfterSeconds ?? 0) * 1000);
  }
}

/** Runs an attempt, unless so many have failed in a row that upstream is better left alone. */
export type Breaker = <T>(attempt: () => Promise<T>) => Promise<T>;

/** A circuit breaker for one upstream. Open, it refuses with UPSTREAM_UNAVAILABLE. */
export function createBreaker(): Breaker {
  const policy: IPolicy = circuitBreaker(handleWhen(isTransient), {
    breaker: new ConsecutiveBreaker(BREAK_AFTER),
    halfOpenAfter: BREAK_FOR_MS,
  });
  return async attempt => {
    try {
      return await policy.execute(attempt);
    } catch (error) {
      if (!isBrokenCircuitError(error)) throw error;
      throw new GatewayError(
        'UPSTREAM_UNAVAILABLE',
        'Upstream has failed again and again; it is left alone for a moment.',
        {
          cause: error,
          retryAfterSeconds: BREAK_FOR_MS / 1000,
        },
      );
    }
  };
}

function isTransient(error: unknown): error is GatewayError {
  return (
    error instanceof GatewayError && TRANSIENT.has(error.code) && !isBrokenCircuitError(error.cause)
  );
}

function wasUnsent({ cause }: GatewayError): boolean {
  return cause instanceof Error && 'code' in cause && UNSENT.has(String(cause.code));
}
