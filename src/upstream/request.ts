import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { Span } from '../tracing.ts';
import { type OperationUsage, startSpanFor } from '../usage.ts';
import { AttemptFailure, DEFAULT_RETRY_AFTER_SECONDS } from './admission/attempt-failure.ts';
import type { Breaker } from './admission/breaker.ts';
import type { Budget } from './admission/budget.ts';
import { type Deadline, openDeadline } from './admission/deadline.ts';
import type { Lane } from './admission/lanes.ts';
import type { TokenProof, Trial } from './admission/proof.ts';
import type { Retries } from './admission/retry.ts';
import {
  type EndpointName,
  type RequestObserver,
  beginAttempt,
  logFailure,
} from './attempt-report.ts';
import type { Answer, Attempt, SendAttempt } from './attempt.ts';
import { readSuccess } from './failure.ts';

/** A request of the REST API, before it has a token and a slot in the budget. */
export interface RestRequest extends Pick<Attempt, 'path' | 'signal'> {
  method: 'GET' | 'PATCH' | 'POST';
  endpoint: EndpointName;
  lane: Lane;
  /** Who asks: callers take turns. */
  caller?: string | undefined;
  /** A JSON Patch. */
  patch?: unknown;
  /** Fields of a form. */
  form?: Record<string, string>;
  /** Whether it may be sent twice, because it changes nothing; a GET may. */
  isSafe?: boolean;
  /** A slot that was reserved for it; the request settles or cancels it. */
  slot?: ReservedSlot | undefined;
  /** The operations that wait for the answer; none for a poll. */
  usages?: readonly OperationUsage[] | undefined;
  /** What it is part of, in a trace; by default it gets a span of its own for the operations that wait for it. */
  span?: Span | null | undefined;
}

/** A slot that was waited for ahead of its request. */
export interface ReservedSlot extends Slot {
  /** When the answer is due, on the monotonic clock: the wait for the slot was part of its time. */
  answerBy?: number;
  /** Where the token is not proven yet: what the request has to be sent through. */
  trial?: Trial;
}

/** Who waits for a slot, and how. */
export interface ReserveOptions {
  lane: Lane;
  caller?: string | undefined;
  signal?: AbortSignal | undefined;
}

/** The road upstream. */
export interface Requests {
  /** Sends a request and gives a success; throws a GatewayError for everything else. */
  send(request: RestRequest): Promise<Answer>;
  /** A slot for a request that is to be put together when its turn comes. */
  reserve(options: ReserveOptions): Promise<ReservedSlot>;
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
  /** Whether upstream has accepted the token; null where that is known. */
  proof?: TokenProof | null;
  /** Whose turn a request takes that names no caller. */
  caller?: string | undefined;
  clock: Clock;
  log: Log;
  retries: Retries;
  breaker: Breaker;
  /** Milliseconds from asking to answer: the token, the wait for a slot and every attempt. */
  timeoutMs: number;
  /** Aborts, with the reason that callers are given, when the gateway closes. */
  closing: AbortSignal;
  observer?: RequestObserver | undefined;
}

/** Sends the requests of one credential. */
export function createRequests(parts: RequestParts): Requests {
  const { send, budget, credential, proof = null, clock, log, retries, breaker } = parts;
  const { timeoutMs, closing, observer } = parts;

  return {
    pressure: () => budget.pressure(),
    async reserve(options) {
      const deadline = open(timeoutMs, options.signal);
      try {
        // First, so that nobody holds a slot while it waits for one to fetch a token with.
        await tokenFor(deadline);
        breaker.check();
        const slot = await slotFor(options, deadline);
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
      const { span = null } = request;
      const own = span === null ? startSpanFor(request.usages ?? [], request.endpoint) : null;
      try {
        return await sendUntilAnswered({ ...request, span: span ?? own }, deadline);
      } finally {
        own?.end();
        reserved?.cancel();
        deadline.close();
      }
    },
  };

  /** Token, slot, breaker, attempt, verdict: the verdict on a failure is to send again, or to throw it. */
  async function sendUntilAnswered(request: RestRequest, deadline: Deadline): Promise<Answer> {
    const { method, isSafe = method === 'GET' } = request;
    let { slot: reserved } = request;
    let failures = 0;
    let isRenewed = false;
    for (;;) {
      const token = await tokenFor(deadline);
      breaker.check();
      const slot = reserved ?? (await slotFor(request, deadline));
      reserved = undefined;
      if (!slot.isValid()) {
        // The process was held up for so long that others may have been given it.
        slot.cancel();
        continue;
      }
      try {
        for (const usage of request.usages ?? []) usage.sent();
        return await attemptOnce(token, slot, request, deadline);
      } catch (failure) {
        if (!(failure instanceof AttemptFailure)) throw failure;
        logFailure(log, request, failure);
        if (failure.status === 401 && slot.trial === undefined) proof?.revoke();
        if (failure.status === 401 && !isRenewed && token !== null && credential?.refused(token)) {
          // Revoked, or the tenant's clock disagrees: worth one new token, not a loop.
          isRenewed = true;
        } else if (failure.status === 429 && slot.trial !== undefined) {
          // It may be upstream's word about that token alone, which now waits or is refused.
          continue;
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

  async function slotFor(
    options: ReserveOptions & Pick<RestRequest, 'usages' | 'span'>,
    deadline: Deadline,
  ): Promise<ReservedSlot> {
    const { lane, usages = [] } = options;
    const askedAt = clock.monotonic();
    const span = options.span?.start('wait for the budget', { attributes: { lane } });
    try {
      const slot = await acquireSlot(options, deadline);
      observer?.waited(lane, clock.monotonic() - askedAt);
      return slot;
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'RATE_LIMITED') observer?.refused(lane);
      throw error;
    } finally {
      span?.end();
      for (const usage of usages) usage.waited(askedAt, clock.monotonic());
    }
  }

  async function acquireSlot(
    { lane, caller = parts.caller }: ReserveOptions,
    deadline: Deadline,
  ): Promise<ReservedSlot> {
    const { signal } = deadline;
    const trial = await proof?.begin(deadline);
    if (trial) return { ...trial.slot, trial };
    if (lane === 'token' || lane === 'interactive')
      // A little before the deadline: who waited in vain is told of the budget, not of a timeout.
      return budget.acquire({
        lane,
        caller,
        signal,
        patienceMs: Math.max(0, deadline.remainingMs() - 1),
      });
    // A poll waits for its slot however long that takes; its time counts from there.
    deadline.stop();
    const slot = await budget.acquire({ lane, caller, signal });
    deadline.restart();
    return slot;
  }

  async function attemptOnce(
    token: string | null,
    slot: ReservedSlot,
    request: RestRequest,
    deadline: Deadline,
  ): Promise<Answer> {
    const { trial } = slot;
    if (trial === undefined)
      return breaker.run(() => attemptWith(token, slot, request, deadline.signal));
    deadline.signal.throwIfAborted();
    // It goes on when the caller leaves: callers who leave at once could otherwise hold every slot for unproven
    // tokens, because it would not be known what upstream made of them.
    const attempt = () => attemptWith(token, slot, request, closing);
    return deadline.race(trial.run(() => breaker.run(attempt, false)));
  }

  async function attemptWith(
    token: string | null,
    slot: ReservedSlot,
    request: RestRequest,
    signal: AbortSignal,
  ): Promise<Answer> {
    const record = beginAttempt(request, clock, observer);
    const attempt = toAttempt(token, request, record.traceparent);
    const sentAt = clock.monotonic();
    // How long it takes to refuse a token says nothing about how long it takes to answer.
    const note = () => {
      if (slot.trial === undefined) budget.answered(clock.monotonic() - sentAt);
    };
    let answer: Answer | null = null;
    try {
      answer = await send({ ...attempt, signal, onSettled: slot.settle });
      note();
      const success = readSuccess(answer, { ...request.form, ...attempt.headers }, clock.now());
      record.succeeded(answer.status);
      return success;
    } catch (error) {
      // An answer that did not come in time would have taken longer still.
      if (answer === null && error instanceof GatewayError && error.code === 'UPSTREAM_TIMEOUT')
        note();
      record.failed(answer?.status ?? null, error);
      throw error;
    }
  }

  function open(leftMs: number, signal: AbortSignal | undefined): Deadline {
    const message = `Upstream gave no answer within ${timeoutMs} ms, all attempts together.`;
    const reason = new GatewayError('UPSTREAM_TIMEOUT', message);
    return openDeadline({ clock, timeoutMs, leftMs, reason, signals: [signal, closing] });
  }
}

function toAttempt(
  token: string | null,
  { method, path, patch, form }: RestRequest,
  traceparent: string | null,
): Attempt {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (traceparent !== null) headers['traceparent'] = traceparent;
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
