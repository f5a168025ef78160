import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { AttemptFailure, type Diagnosis } from './attempt-failure.ts';

/** Stops attempts for a moment while upstream answers none of them. */
export interface Breaker {
  /** Throws UPSTREAM_UNAVAILABLE where an attempt would be refused now. */
  check(): void;
  /**
   * Makes an attempt and counts what comes of it, or refuses as `check` does. `isProven`: false where upstream has
   * not accepted the token yet; what it meets is not counted for others.
   */
  run<T>(attempt: () => Promise<T>, isProven?: boolean): Promise<T>;
}

export interface BreakerOptions {
  clock: Clock;
  /** What counts as a failure of what this breaker guards. */
  trips: readonly Diagnosis['health'][];
  /** A breaker that guards more than this one, and is asked first. */
  within?: Breaker;
  /** Called when it opens, and when it closes again. */
  onChange?(isOpen: boolean): void;
}

type Outcome = 'success' | 'failure' | 'uncounted';

// Open when, of what was counted in the last seconds, this share failed, this many attempts or more,
// and in this many of those seconds. One moment's failures are not an outage, however many requests
// were under way: their retries find out.
const WINDOW_SECONDS = 10;
const FAILURE_SHARE = 0.5;
const MIN_ATTEMPTS = 20;
const MIN_FAILING_SECONDS = 3;
const OPEN_MS = 5_000;

/**
 * A circuit breaker on a clock that is given to it. Those of cockatiel and opossum ask Date: a
 * machine's clock that is set back would keep them open for as long.
 *
 *     closed     attempts pass and are counted; too many failures: open
 *     open       attempts are refused; after five seconds: half-open
 *     half-open  one attempt passes at a time; success: closed, failure: open again,
 *                neither, because the caller left: half-open still
 */
export function createBreaker({ clock, trips, within, onChange }: BreakerOptions): Breaker {
  /** Second of the monotonic clock → what was counted in it, oldest first. */
  const seconds = new Map<number, { successes: number; failures: number }>();
  /** When an attempt may be made to find out; null while closed. */
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
      'Upstream has failed for some seconds; no request is sent to it for a moment.',
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
    // What was sent before it opened says nothing new.
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
    // The caller left, its time was up, or an outer breaker is open: nothing is known of upstream.
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
