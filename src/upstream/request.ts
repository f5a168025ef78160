import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import { AttemptFailure } from './admission/attempt-failure.ts';
import type { Breaker } from './admission/breaker.ts';
import type { Budget } from './admission/budget.ts';
import { type Deadline, openDeadline } from './admission/deadline.ts';
import type { Lane } from './admission/lanes.ts';
import type { Retries } from './admission/retry.ts';
import type { Answer, Attempt, SendAttempt } from './attempt.ts';
import { readSuccess } from './failure.ts';

/** A request of the REST API, before it has a token and a slot in the budget. */
export interface RestRequest extends Pick<Attempt, 'path' | 'signal'> {
  method: 'GET' | 'PATCH' | 'POST';
  lane: Lane;
  /** A JSON Patch. */
  patch?: unknown;
  /** Fields of a form. */
  form?: Record<string, string>;
  /** Whether it may be sent twice, because it changes nothing; a GET may. */
  isSafe?: boolean;
  /** A slot that was reserved for it; the request settles or cancels it. */
  slot?: ReservedSlot | undefined;
}

/** A slot that was waited for ahead of its request. */
export interface ReservedSlot extends Slot {
  /** When the answer is due, on the monotonic clock: the wait for the slot was part of its time. */
  answerBy?: number;
}

/** The road upstream. */
export interface Requests {
  /** Sends a request and gives a success; throws a GatewayError for everything else. */
  send(request: RestRequest): Promise<Answer>;
  /** A slot for a request that is to be put together when its turn comes. */
  reserve(options: { lane: Lane; signal?: AbortSignal | undefined }): Promise<ReservedSlot>;
  /** The part of the budget that is spent, 0–1. */
  pressure(): number;
}

/** Where the tokens of a credential come from. */
export interface TokenSource {
  /** A token that has not expired. Rejects with UPSTREAM_UNAVAILABLE where none can be had. */
  token(): Promise<string>;
  /** Upstream refused this token: whether `token()` may now give a better one. */
  refused(token: string): boolean;
}

export interface RequestParts {
  send: SendAttempt;
  budget: Budget;
  /** Whose token goes with each request; null: none does. */
  credential: TokenSource | null;
  clock: Clock;
  log: Log;
  retries: Retries;
  breaker: Breaker;
  /** Milliseconds from asking to answer: the token, the wait for a slot and every attempt. */
  timeoutMs: number;
  /** Aborts, with the reason that callers are given, when the gateway closes. */
  closing: AbortSignal;
}

// Where a 429 does not say how long to wait.
const DEFAULT_RETRY_AFTER_SECONDS = 1;

/** Sends the requests of one credential. */
export function createRequests(parts: RequestParts): Requests {
  const { send, budget, credential, clock, log, retries, breaker, timeoutMs, closing } = parts;

  return {
    pressure: () => budget.pressure(),
    async reserve({ lane, signal }) {
      const deadline = open(timeoutMs, signal);
      try {
        // First, so that nobody holds a slot while it waits for one to fetch a token with.
        await tokenFor(deadline);
        breaker.check();
        const slot = await slotFor(lane, deadline);
        return { ...slot, answerBy: clock.monotonic() + deadline.remainingMs() };
      } finally {
        deadline.close();
      }
    },
    async send(request) {
      const { slot: reserved, signal } = request;
      const leftMs = (reserved?.answerBy ?? Infinity) - clock.monotonic();
      const deadline = open(Math.min(timeoutMs, leftMs), signal);
      retries.earn();
      try {
        return await sendUntilAnswered(request, deadline);
      } finally {
        reserved?.cancel();
        deadline.close();
      }
    },
  };

  /** Token, slot, breaker, attempt, verdict: the verdict on a failure is to send again, or to throw it. */
  async function sendUntilAnswered(request: RestRequest, deadline: Deadline): Promise<Answer> {
    const { lane, method, isSafe = method === 'GET' } = request;
    let { slot: reserved } = request;
    let failures = 0;
    let isRenewed = false;
    for (;;) {
      const token = await tokenFor(deadline);
      breaker.check();
      const slot = reserved ?? (await slotFor(lane, deadline));
      reserved = undefined;
      if (!slot.isValid()) {
        // The process was held up for so long that others may have been given it.
        slot.cancel();
        continue;
      }
      try {
        return await breaker.run(() => attemptWith(token, slot, request, deadline));
      } catch (failure) {
        if (!(failure instanceof AttemptFailure)) throw failure;
        logFailure(request, failure);
        if (failure.status === 401 && !isRenewed && token !== null && credential?.refused(token)) {
          // Revoked, or the tenant's clock disagrees: worth one new token, not a loop.
          isRenewed = true;
        } else if (failure.status === 429) {
          // Not an answer: everybody waits, and so does whoever received it.
          const { retryAfterSeconds = DEFAULT_RETRY_AFTER_SECONDS } = failure.extensions;
          budget.pause(retryAfterSeconds * 1000);
        } else {
          const backoffMs = retries.backoffMs(failure, ++failures, { isSafe });
          if (backoffMs === null || backoffMs >= deadline.remainingMs()) throw failure;
          await deadline.pause(backoffMs);
        }
      } finally {
        slot.cancel();
      }
    }
  }

  async function tokenFor(deadline: Deadline): Promise<string | null> {
    deadline.signal.throwIfAborted();
    return credential && deadline.race(credential.token());
  }

  async function slotFor(lane: Lane, deadline: Deadline): Promise<Slot> {
    const { signal } = deadline;
    if (lane === 'token' || lane === 'interactive')
      // A little before the deadline: who waited in vain is told of the budget, not of a timeout.
      return budget.acquire({ lane, signal, patienceMs: Math.max(0, deadline.remainingMs() - 1) });
    // A poll waits for its slot however long that takes; its time counts from there.
    deadline.stop();
    const slot = await budget.acquire({ lane, signal });
    deadline.restart();
    return slot;
  }

  async function attemptWith(
    token: string | null,
    slot: Slot,
    request: RestRequest,
    { signal }: Deadline,
  ): Promise<Answer> {
    const attempt = toAttempt(token, request);
    const sentAt = clock.monotonic();
    const note = () => budget.answered(clock.monotonic() - sentAt);
    let answer: Answer;
    try {
      answer = await send({ ...attempt, signal, onSettled: slot.settle });
    } catch (error) {
      // An answer that did not come in time would have taken longer still.
      if (error instanceof GatewayError && error.code === 'UPSTREAM_TIMEOUT') note();
      throw error;
    }
    note();
    return readSuccess(answer, attempt.headers, clock.now());
  }

  function logFailure({ method, path }: RestRequest, { code, explanation }: AttemptFailure): void {
    if (explanation === undefined) return;
    // Without the query, which may hold a caller's data.
    const target = `${method} ${path.split('?', 1)[0]}`;
    log.warn({ request: target, code, cause: explanation }, 'an attempt at upstream failed');
  }

  function open(leftMs: number, signal: AbortSignal | undefined): Deadline {
    const message = `Upstream gave no answer within ${timeoutMs} ms, all attempts together.`;
    const reason = new GatewayError('UPSTREAM_TIMEOUT', message);
    return openDeadline({ clock, timeoutMs, leftMs, reason, signals: [signal, closing] });
  }
}

function toAttempt(token: string | null, { method, path, patch, form }: RestRequest): Attempt {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (token !== null) headers['authorization'] = `Bearer ${token}`;
  if (patch !== undefined) {
    headers['content-type'] = 'application/json-patch+json';
    return { method, path, headers, body: JSON.stringify(patch) };
  }
  if (form !== undefined) {
    headers['content-type'] = 'application/x-www-form-urlencoded';
    return { method, path, headers, body: new URLSearchParams(form).toString() };
  }
  return { method, path, headers };
}
