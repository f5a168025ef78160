import { AttemptFailure } from './attempt-failure.ts';

/** Decides whether and when to retry, for one credential. */
export interface Retries {
  /** Call for each request; retries are earned by requests. */
  earn(): void;
  /** Milliseconds until the next attempt after the `attempt`-th failure; null if it is final. */
  backoffMs(failure: unknown, attempt: number, request: { isSafe: boolean }): number | null;
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 2_000;

// Each request earns half a retry, so an outage increases the load by at most half. Counted per
// credential: one whose requests all fail must not use up the retries of the others.
const RETRIES_PER_REQUEST = 0.5;
const MAX_STORED_RETRIES = 50;

/** `random` is the source of jitter, 0–1. */
export function createRetries(random: () => number = Math.random): Retries {
  let stored = MAX_STORED_RETRIES;

  return {
    earn() {
      stored = Math.min(MAX_STORED_RETRIES, stored + RETRIES_PER_REQUEST);
    },
    backoffMs(failure, attempt, { isSafe }) {
      if (!(failure instanceof AttemptFailure)) return null;
      const { maxRetries, mayHaveActed } = failure.diagnosis;
      if (attempt > maxRetries || (mayHaveActed && !isSafe) || stored < 1) return null;
      stored--;
      // Full jitter, so that requests that failed together are not retried together.
      const jitterMs = random() * Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
      return Math.max(jitterMs, (failure.extensions.retryAfterSeconds ?? 0) * 1000);
    },
  };
}
