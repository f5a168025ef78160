import { LRUCache } from 'lru-cache';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import type { Slot } from '../../fleet/fleet.ts';
import { AttemptFailure, DEFAULT_RETRY_AFTER_SECONDS } from './attempt-failure.ts';
import type { Budget } from './budget.ts';
import type { Deadline } from './deadline.ts';
import type { TrialSlot } from './trial-slots.ts';
import { AddressQueue } from './address-queue.ts';

/*
 * The claims of a caller's token are not verified here, and anyone can forge a token with another
 * client's `client_id`. So a token spends from the budget of the client that it names only after
 * upstream accepted it.
 *
 *   unproven  one request at a time, with a trial slot (see trial-slots.ts) and one of the connections
 *             reserved for trials; its failures do not count in shared breakers
 *   proven    upstream has accepted the token; a 401 makes it unproven again
 *   refused   upstream has answered 401; for a minute, further requests get the same error
 *   paused    upstream has answered 429; no request is sent until the Retry-After has passed
 */

/** An unproven token: what it claims, and where it came from. */
export interface TokenClaim {
  /** Equal for equal tokens. */
  key: string;
  /** The client that the token names. */
  clientId: string;
  /** The caller's address. */
  address: string;
}

/** Tracks whether upstream has accepted a token. */
export interface TokenProof {
  readonly isProven: boolean;
  /**
   * Resolves when the request that tries the token now has ended; null if there is none. Rejects
   * with RATE_LIMITED if too many wait for it, or with the deadline's reason.
   */
  trialUnderWay(deadline: Deadline): Promise<void> | null;
  /**
   * Waits until a request may be sent with the unproven token; null if the token has been proven by
   * then. Rejects with UNAUTHENTICATED if upstream refused the token within the last minute, with
   * RATE_LIMITED if the wait would be too long, or with the deadline's reason.
   */
  begin(deadline: Deadline): Promise<Trial | null>;
  /** Call when upstream refuses the token after it was proven. */
  revoke(): void;
}

/** One request with an unproven token. Its slot is returned unless the request is sent. */
export interface Trial {
  slot: Slot;
  /** Sends the request and records whether upstream accepted the token. */
  run<T>(attempt: () => Promise<T>): Promise<T>;
}

/**
 * The tokens that upstream has accepted and refused. Bounded: the least recently used are evicted.
 */
export interface Proofs {
  of(claim: TokenClaim, budget: Budget): TokenProof;
  isProven(key: string): boolean;
  /** Why upstream refused a token within the last minute; null if it did not. */
  refusalOf(key: string): GatewayError | null;
}

export interface ProofsOptions {
  clock: Clock;
  maxProven?: number;
  /** The maximum number of concurrent trials, over all clients. */
  maxTrials?: number;
}

const MAX_PROVEN = 100_000;
const MAX_REFUSED = 20_000;
const MAX_PAUSED = 20_000;
const MAX_KNOWN = 50_000;
// Half of the connections to the tenant. The others stay free for proven tokens.
const MAX_TRIALS = 50;
const REFUSED_MS = 60_000;
// Requests of one token that may wait for its trial.
const MAX_WAITING_PER_TOKEN = 200;
// Upstream checks the token before it answers so. Other statuses may come from a proxy before it.
const PROVING_STATUSES = new Set([400, 404]);
// A token that is refused will be refused again. 431: it is too long for a proxy.
const REFUSING_STATUSES = new Set([401, 431]);

/** A running trial. Other requests of the same token wait for its end. */
interface RunningTrial {
  waiting: number;
  ended: Promise<void>;
  end(): void;
}

type Outcome = 'proven' | 'refused' | 'counted' | 'unsent';

/** Trials start with no token proven. */
export function createProofs({ clock, ...options }: ProofsOptions): Proofs {
  const { maxProven = MAX_PROVEN, maxTrials = MAX_TRIALS } = options;
  const proven = new LRUCache<string, true>(atMost(maxProven));
  const refused = new LRUCache<string, { error: AttemptFailure; until: number }>(
    atMost(MAX_REFUSED),
  );
  /** Token key → end of the pause, on the monotonic clock. */
  const paused = new LRUCache<string, number>(atMost(MAX_PAUSED));
  /** Pairs of a client and an address from which it has proven a token. */
  const known = new LRUCache<string, true>(atMost(MAX_KNOWN));
  const running = new Map<string, RunningTrial>();
  const connections = new AddressQueue<void>(clock, () => 0);
  let trials = 0;

  return { of, isProven: key => proven.has(key), refusalOf };

  function refusalOf(key: string): GatewayError | null {
    const refusal = refused.get(key);
    return refusal !== undefined && clock.monotonic() < refusal.until ? refusal.error : null;
  }

  function of({ key, clientId, address }: TokenClaim, budget: Budget): TokenProof {
    const addressKey = `${clientId} ${address}`;
    return {
      get isProven() {
        return proven.get(key) === true;
      },
      trialUnderWay(deadline) {
        const current = running.get(key);
        return current === undefined ? null : waitForEnd(current, deadline);
      },
      revoke: () => void proven.delete(key),
      async begin(deadline) {
        for (;;) {
          deadline.signal.throwIfAborted();
          if (proven.get(key) === true) return null;
          const refusal = refusalOf(key);
          if (refusal !== null) throw refusal;
          const pausedMs = (paused.get(key) ?? -Infinity) - clock.monotonic();
          const current = running.get(key);
          if (pausedMs > 0) {
            if (pausedMs >= deadline.remainingMs()) throw rateLimited(pausedMs);
            await deadline.pause(pausedMs);
          } else if (current !== undefined) await waitForEnd(current, deadline);
          else return await start(deadline);
        }
      },
    };

    async function start(deadline: Deadline): Promise<Trial> {
      const current = startRunning();
      running.set(key, current);
      let slot: TrialSlot | null = null;
      try {
        const request = {
          address,
          isKnown: known.has(addressKey),
          // Slightly before the deadline, which would be reported as a timeout of upstream.
          maxWaitMs: Math.max(0, deadline.remainingMs() - 1),
          signal: deadline.signal,
        };
        slot = await budget.acquireTrial(request);
        if (trials >= maxTrials)
          await connections.enqueue({
            ...request,
            maxWaitMs: Math.max(0, deadline.remainingMs() - 1),
          });
        else trials++;
        return toTrial(slot, current);
      } catch (error) {
        slot?.giveBack();
        finish(current);
        throw error;
      }
    }

    function finish(current: RunningTrial): void {
      running.delete(key);
      current.end();
    }

    function toTrial(trialSlot: TrialSlot, current: RunningTrial): Trial {
      let isOpen = true;
      let isSent = false;
      const end = (outcome: Outcome) => {
        if (!isOpen) return;
        isOpen = false;
        if (outcome === 'refused' || outcome === 'unsent') trialSlot.giveBack();
        else trialSlot.keep(outcome === 'proven');
        if (outcome === 'proven') {
          proven.set(key, true);
          known.set(addressKey, true);
        }
        // Pass the connection to the next request, or free it.
        if (!connections.serve(undefined)) trials--;
        finish(current);
      };
      return {
        slot: {
          isValid: () => isOpen && trialSlot.isValid(),
          // The slot is settled at the end of the answer, which shows whether upstream counted it
          // for this client.
          settle() {},
          cancel() {
            if (!isSent) end('unsent');
          },
        },
        async run(attempt) {
          isSent = true;
          try {
            const answer = await attempt();
            end('proven');
            return answer;
          } catch (error) {
            end(outcomeOf(error));
            throw error;
          }
        },
      };
    }

    function outcomeOf(error: unknown): Outcome {
      if (!(error instanceof AttemptFailure)) return 'counted';
      const { status } = error;
      const now = clock.monotonic();
      if (status === null) return error.diagnosis.mayHaveActed ? 'counted' : 'unsent';
      if (REFUSING_STATUSES.has(status)) {
        refused.set(key, { error, until: now + REFUSED_MS });
        return 'refused';
      }
      if (status === 429) {
        const { retryAfterSeconds = DEFAULT_RETRY_AFTER_SECONDS } = error.extensions;
        paused.set(key, now + retryAfterSeconds * 1000);
      }
      return PROVING_STATUSES.has(status) && error.hasUpstreamMessage ? 'proven' : 'counted';
    }
  }
}

/**
 * Bounds a cache to so many entries. With `max`, it would allocate room for all of them at the
 * start.
 */
function atMost(entries: number) {
  return { maxSize: entries, sizeCalculation: () => 1 };
}

function startRunning(): RunningTrial {
  let end = () => {};
  const ended = new Promise<void>(resolve => (end = resolve));
  return { waiting: 0, ended, end };
}

async function waitForEnd(current: RunningTrial, deadline: Deadline): Promise<void> {
  if (current.waiting >= MAX_WAITING_PER_TOKEN) throw rateLimited(1_000);
  current.waiting++;
  try {
    await deadline.race(current.ended);
  } finally {
    current.waiting--;
  }
}

function rateLimited(waitMs: number): GatewayError {
  return new GatewayError(
    'RATE_LIMITED',
    'Upstream has not accepted this token yet, and the wait to try it again would be too long.',
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
  );
}
