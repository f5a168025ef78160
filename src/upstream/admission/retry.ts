import { AttemptFailure } from './attempt-failure.ts';

/** Decides what is worth another attempt and when, for one credential. */
export interface Retries {
  /** A request sets out. */
  earn(): void;
  /** Milliseconds until the next attempt after this failure, the `attempt`-th; null where it is final. */
  backoffMs(failure: unknown, attempt: number, request: { isSafe: boolean }): number | null;
}

const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 2_000;

// Each request earns this part of a retry, so that failing costs at most half as much again. Counted
// for each credential: one whose requests all fail must not use up the retries of the others.
const RETRIES_PER_REQUEST = 0.5;
const MAX_STORED_RETRIES = 50;

export function createRetries(random: () => number = Math.random): Retries {
  let stored = MAX_STORED_RETRIES;

  return {
    earn() {
      stored = Math.min(MAX_STORED_RETRIES, stored + RETRIES_PER_REQUEST);
    },
    backoffMs(failure, attempt, { isSafe }) {
      if (!(failure instanceof AttemptFailure)) return null;
      const { maxRetries, wasSeen } = failure.diagnosis;
      if (attempt > maxRetries || (wasSeen && !isSafe) || stored < 1) return null;
      stored--;
      // Full jitter: callers that failed together do not come back together.
      const jitterMs = random() * Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** attempt);
      return Math.max(jitterMs, (failure.extensions.retryAfterSeconds ?? 0) * 1000);
    },
  };
}
