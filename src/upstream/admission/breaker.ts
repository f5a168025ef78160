import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { AttemptFailure, type Diagnosis } from './attempt-failure.ts';

/** Stops sending requests for a short time when most of them fail. */
export interface Breaker {
  /** Throws UPSTREAM_UNAVAILABLE if an attempt would be refused now. */
  check(): void;
  /**
   * Makes an attempt and counts its outcome, or throws as `check` does. With `isProven` false,
   * upstream has not accepted the token yet, and the outer breaker, which other credentials share,
   * does not count it.
   */
  run<T>(attempt: () => Promise<T>, isProven?: boolean): Promise<T>;
}

export interface BreakerOptions {
  clock: Clock;
  /** Which diagnoses count as failures. */
  trips: readonly Diagnosis['health'][];
  /** An outer breaker, which is checked first. */
  within?: Breaker;
  /** Called when it opens, and when it closes again. */
  onChange?(isOpen: boolean): void;
}

type Outcome = 'success' | 'failure' | 'uncounted';

// The breaker opens if, in the last WINDOW_SECONDS, there were at least MIN_ATTEMPTS attempts,
// FAILURE_SHARE of them failed, and failures occurred in MIN_FAILING_SECONDS different seconds.
// Many concurrent requests that fail at one moment are not an outage yet; their retries show
// whether it lasts.
const WINDOW_SECONDS = 10;
const FAILURE_SHARE = 0.5;
const MIN_ATTEMPTS = 20;
const MIN_FAILING_SECONDS = 3;
const OPEN_MS = 5_000;

/**
 * A circuit breaker on the monotonic clock. Those of cockatiel and opossum use Date, so they would stay
 * open for longer if the machine's clock is set back.
 *
 *     closed     attempts pass and are counted; too many failures: open
 *     open       attempts are refused; after five seconds: half-open
 *     half-open  one attempt passes at a time; success: closed; failure: open again;
 *                neither, because the caller left: stays half-open
 */
export function createBreaker({ clock, trips, within, onChange }: BreakerOptions): Breaker {
  /** Second of the monotonic clock → what was counted in it, oldest first. */
  const seconds = new Map<number, { successes: number; failures: number }>();
  /** When the breaker becomes half-open; null while closed. */
  let openUntil: number | null = null;
  let isProbing = false;

  return {
    check,
    async run(attempt, isProven = true) {
      check();
      const isProbe = openUntil !== null;
      if (isProbe) isProbing = true;
      let outcome: Outcome = 'uncounted';
      try {
        const answer = await (within && isProven ? within.run(attempt) : attempt());
        outcome = 'success';
        return answer;
      } catch (error) {
        outcome = outcomeOf(error);
        throw error;
      } finally {
        if (isProbe) settleProbe(outcome);
        else count(outcome);
      }
    },
  };

  function check(): void {
    within?.check();
    if (openUntil === null) return;
    const waitMs = openUntil - clock.monotonic();
    if (waitMs <= 0 && !isProbing) return;
    throw new GatewayError(
      'UPSTREAM_UNAVAILABLE',
      'Most requests to upstream have failed for some seconds; requests are paused for a short time.',
      { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
    );
  }

  function settleProbe(outcome: Outcome): void {
    isProbing = false;
    if (outcome === 'success') {
      openUntil = null;
      seconds.clear();
      onChange?.(false);
    } else if (outcome === 'failure') openUntil = clock.monotonic() + OPEN_MS;
  }

  function count(outcome: Outcome): void {
    // Attempts that started before the breaker opened say nothing new.
    if (outcome === 'uncounted' || openUntil !== null) return;
    const second = Math.floor(clock.monotonic() / 1000);
    for (const old of seconds.keys()) if (old <= second - WINDOW_SECONDS) seconds.delete(old);
    const current = seconds.get(second) ?? { successes: 0, failures: 0 };
    seconds.set(second, current);
    current[outcome === 'success' ? 'successes' : 'failures']++;
    if (!isOutage([...seconds.values()])) return;
    openUntil = clock.monotonic() + OPEN_MS;
    onChange?.(true);
  }

  function outcomeOf(error: unknown): Outcome {
    // The caller left, the deadline passed, or the outer breaker is open. None of these says
    // anything about upstream.
    if (!(error instanceof AttemptFailure)) return 'uncounted';
    const { health } = error.diagnosis;
    if (trips.includes(health)) return 'failure';
    return health === 'unreachable' ? 'uncounted' : 'success';
  }
}

function isOutage(counted: readonly { successes: number; failures: number }[]): boolean {
  const sum = (part: 'successes' | 'failures') =>
    counted.reduce((total, second) => total + second[part], 0);
  const failures = sum('failures');
  const attempts = failures + sum('successes');
  return (
    attempts >= MIN_ATTEMPTS &&
    failures >= attempts * FAILURE_SHARE &&
    counted.filter(second => second.failures > 0).length >= MIN_FAILING_SECONDS
  );
}
