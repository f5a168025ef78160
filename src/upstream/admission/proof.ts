import { LRUCache } from 'lru-cache';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import type { Slot } from '../../fleet/fleet.ts';
import { AttemptFailure, DEFAULT_RETRY_AFTER_SECONDS } from './attempt-failure.ts';
import type { Budget } from './budget.ts';
import type { Deadline } from './deadline.ts';
import type { TrialSlot } from './trial-slots.ts';
import { WaitingLine } from './waiting-line.ts';

/*
 * What a caller's token claims is not verified here: anybody can write the `client_id` of somebody else
 * into one. So a token spends from the budget of the client that it names only once upstream has accepted it.
 *
 *   unproven  one request at a time, with a slot of its own kind (see trial-slots.ts) and one of the
 *             connections for such tokens; neither the retries of others nor a breaker counts what it meets
 *   proven    upstream has answered it as one that it accepts; a 401 makes it unproven again
 *   refused   upstream has answered it with 401; for a minute that is what its requests are answered
 *   paused    upstream has answered it with 429; no request of it is sent for as long as upstream says
 */

/** Which token a request is sent with, as far as that is known without upstream. */
export interface TokenClaim {
  /** Equal for equal tokens. */
  key: string;
  /** The client that it names. */
  clientId: string;
  /** Of the caller. */
  address: string;
}

/** Whether upstream has accepted a token, and how that is found out. */
export interface TokenProof {
  readonly isProven: boolean;
  /**
   * The right to send a request with a token that is not proven; null where it is proven by then. Rejects
   * with UNAUTHENTICATED where upstream refused it within the last minute, with RATE_LIMITED where the
   * wait would be too long, and with the deadline's reason.
   */
  begin(deadline: Deadline): Promise<Trial | null>;
  /** Upstream has refused a token that was proven. */
  revoke(): void;
}

/** One request with an unproven token. Its slot is given back unless the request is sent. */
export interface Trial {
  slot: Slot;
  /** Sends it, and takes note of what upstream makes of the token. */
  run<T>(attempt: () => Promise<T>): Promise<T>;
}

/** The tokens that upstream has accepted and refused. Bounded: the longest unused is forgotten. */
export interface Proofs {
  of(claim: TokenClaim, budget: Budget): TokenProof;
  isProven(key: string): boolean;
}

export interface ProofsOptions {
  clock: Clock;
  maxProven?: number;
  /** Requests with unproven tokens that are under way at once, whatever clients they name. */
  maxTrials?: number;
}

const MAX_PROVEN = 100_000;
const MAX_REFUSED = 20_000;
const MAX_PAUSED = 20_000;
const MAX_KNOWN = 50_000;
// Half of the connections to the tenant: the others stay free for tokens that are proven.
const MAX_TRIALS = 50;
const REFUSED_MS = 60_000;
// Requests of one token that wait until it is proven.
const MAX_WAITING_BY_TOKEN = 200;
// Upstream has checked the token before it says this. Others may come from something before it.
const PROVING_STATUSES = new Set([400, 404]);
// A token that is refused will be refused again. 431: a proxy finds it too long.
const REFUSING_STATUSES = new Set([401, 431]);

/** A trial under way, for those who wait for its end. */
interface Gate {
  waiting: number;
  ended: Promise<void>;
  open(): void;
}

type Outcome = 'proven' | 'refused' | 'counted' | 'unsent';

export function createProofs({ clock, ...options }: ProofsOptions): Proofs {
  const { maxProven = MAX_PROVEN, maxTrials = MAX_TRIALS } = options;
  const proven = new LRUCache<string, true>({ max: maxProven });
  const refused = new LRUCache<string, { error: AttemptFailure; until: number }>({
    max: MAX_REFUSED,
  });
  /** Until when, on the monotonic clock. */
  const paused = new LRUCache<string, number>({ max: MAX_PAUSED });
  /** Addresses from which a client has proven a token. */
  const known = new LRUCache<string, true>({ max: MAX_KNOWN });
  const gates = new Map<string, Gate>();
  const connections = new WaitingLine<void>(clock, () => 0);
  let trials = 0;

  return { of, isProven: key => proven.has(key) };

  function of({ key, clientId, address }: TokenClaim, budget: Budget): TokenProof {
    const knownKey = `${clientId} ${address}`;
    return {
      get isProven() {
        return proven.get(key) === true;
      },
      revoke: () => void proven.delete(key),
      async begin(deadline) {
        for (;;) {
          deadline.signal.throwIfAborted();
          if (proven.get(key) === true) return null;
          const refusal = refused.get(key);
          if (refusal !== undefined && clock.monotonic() < refusal.until) throw refusal.error;
          const pausedMs = (paused.get(key) ?? -Infinity) - clock.monotonic();
          const gate = gates.get(key);
          if (pausedMs > 0) {
            if (pausedMs >= deadline.remainingMs()) throw rateLimited(pausedMs);
            await deadline.pause(pausedMs);
          } else if (gate !== undefined) await pass(gate, deadline);
          else return await start(deadline);
        }
      },
    };

    async function start(deadline: Deadline): Promise<Trial> {
      const gate = openGate();
      gates.set(key, gate);
      let slot: TrialSlot | null = null;
      try {
        const request = {
          address,
          isKnown: known.has(knownKey),
          // A little before the deadline, which would be reported as a timeout of upstream.
          patienceMs: Math.max(0, deadline.remainingMs() - 1),
          signal: deadline.signal,
        };
        slot = await budget.tryOut(request);
        if (trials >= maxTrials)
          await connections.join({
            ...request,
            patienceMs: Math.max(0, deadline.remainingMs() - 1),
          });
        else trials++;
        return toTrial(slot, gate);
      } catch (error) {
        slot?.giveBack();
        leave(gate);
        throw error;
      }
    }

    function leave(gate: Gate): void {
      gates.delete(key);
      gate.open();
    }

    function toTrial(trialSlot: TrialSlot, gate: Gate): Trial {
      let isOpen = true;
      let isSent = false;
      const end = (outcome: Outcome) => {
        if (!isOpen) return;
        isOpen = false;
        if (outcome === 'refused' || outcome === 'unsent') trialSlot.giveBack();
        else trialSlot.keep(outcome === 'proven');
        if (outcome === 'proven') {
          proven.set(key, true);
          known.set(knownKey, true);
        }
        // To the next in line, or back.
        if (!connections.serve(undefined)) trials--;
        leave(gate);
      };
      return {
        slot: {
          isValid: () => isOpen && trialSlot.isValid(),
          // It counts from the end of the answer, which shows whose it is.
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
            end(judge(error));
            throw error;
          }
        },
      };
    }

    function judge(error: unknown): Outcome {
      if (!(error instanceof AttemptFailure)) return 'counted';
      const { status } = error;
      const now = clock.monotonic();
      if (status === null) return error.diagnosis.wasSeen ? 'counted' : 'unsent';
      if (REFUSING_STATUSES.has(status)) {
        refused.set(key, { error, until: now + REFUSED_MS });
        return 'refused';
      }
      if (status === 429) {
        const { retryAfterSeconds = DEFAULT_RETRY_AFTER_SECONDS } = error.extensions;
        paused.set(key, now + retryAfterSeconds * 1000);
      }
      return PROVING_STATUSES.has(status) && error.isWorded ? 'proven' : 'counted';
    }
  }
}

function openGate(): Gate {
  let open = () => {};
  const ended = new Promise<void>(resolve => (open = resolve));
  return { waiting: 0, ended, open };
}

async function pass(gate: Gate, deadline: Deadline): Promise<void> {
  if (gate.waiting >= MAX_WAITING_BY_TOKEN) throw rateLimited(1_000);
  gate.waiting++;
  try {
    await deadline.race(gate.ended);
  } finally {
    gate.waiting--;
  }
}

function rateLimited(waitMs: number): GatewayError {
  return new GatewayError(
    'RATE_LIMITED',
    'Upstream has not accepted this token yet, and the wait until it is asked again would be too long.',
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
  );
}
