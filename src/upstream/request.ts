import type { Signal } from '../signal.ts';
import type { Clock } from '../clock.ts';
import { GatewayError, failureCodeOf } from '../errors.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { Span } from '../tracing.ts';
import { type RequestUsage, startSpanFor } from '../usage.ts';
import { AttemptFailure, DEFAULT_RETRY_AFTER_SECONDS } from './admission/attempt-failure.ts';
import type { Breaker } from './admission/breaker.ts';
import type { Budget } from './admission/budget.ts';
import { type Deadline, openDeadline } from './admission/deadline.ts';
import { type CallerLane, CALLER_LANES, type Lane } from './admission/lanes.ts';
import type { TokenProof, Trial } from './admission/proof.ts';
import type { Retries } from './admission/retry.ts';
import {
  type EndpointName,
  type RequestObserver,
  beginAttempt,
  logFailure,
} from './attempt-report.ts';
import {
  type Answer,
  type Attempt,
  type AttemptContent,
  type SendAttempt,
  toAttempt,
} from './attempt.ts';
import { readSuccess } from './failure.ts';
import { type OnTokenWait, waitForToken } from './token-wait.ts';

/** A REST request before it has a token and a slot. */
export interface RestRequest extends AttemptContent, Pick<Attempt, 'signal'> {
  /** The path as it is logged, if it holds more than the query that must not be. */
  loggedPath?: string;
  endpoint: EndpointName;
  lane: Lane;
  /** Identifies the caller. The budget serves callers round robin. */
  caller?: string | undefined;
  /** Whether it may be repeated; true for GET. */
  isSafe?: boolean;
  /** A slot from `reserve`. The request settles or cancels it. */
  slot?: ReservedSlot | undefined;
  /** The operations, or the poll, that wait for the answer. */
  usages?: readonly RequestUsage[] | undefined;
  /**
   * What it is part of, in a trace; by default it gets a span of its own for the operations that
   * wait for it.
   */
  span?: Span | null | undefined;
}

/** A slot that was acquired before its request was known. */
export interface ReservedSlot extends Slot {
  /** The deadline of the answer, on the monotonic clock. It includes the wait for the slot. */
  answerBy?: number;
  /** Set if the token is not proven yet: the request must be sent through this trial. */
  trial?: Trial;
}

/** Options of a reservation. */
export interface ReserveOptions {
  lane: Lane;
  caller?: string | undefined;
  signal?: Signal | undefined;
  onTokenWait?: OnTokenWait | undefined;
}

/** Who waits for a slot. */
type SlotOptions = Pick<RestRequest, 'lane' | 'caller' | 'usages' | 'span'>;

/** Sends the REST requests of one credential. */
export interface Requests {
  /** Sends a request and returns the answer if it is a success; otherwise throws a GatewayError. */
  send(request: RestRequest): Promise<Answer>;
  /** Acquires a slot for a request that is built later. */
  reserve(options: ReserveOptions): Promise<ReservedSlot>;
  /** The part of the budget that is spent, 0–1. */
  pressure(): number;
}

/** Supplies the token of a credential. */
export interface TokenSource {
  /**
   * A token that has not expired; a promise if it must be fetched first, which rejects with
   * UPSTREAM_UNAVAILABLE if none can be.
   */
  token(): string | Promise<string>;
  /** Discards a token that upstream refused. Returns whether `token()` may now return another. */
  discard(token: string): boolean;
}

export interface RequestParts {
  send: SendAttempt;
  budget: Budget;
  /** The source of the token of each request; null: requests carry no token. */
  credential: TokenSource | null;
  /** Tracks whether upstream has accepted the token; null if the token needs no proof. */
  proof?: TokenProof | null;
  /** The caller of requests that name none. */
  caller?: string | undefined;
  clock: Clock;
  log: Log;
  retries: Retries;
  breaker: Breaker;
  /** Milliseconds for a whole request: token, wait for a slot, and all attempts. */
  timeoutMs: number;
  /** Aborts when the gateway closes, with the error for callers. */
  closing: Signal;
  observer?: RequestObserver | undefined;
}

/** Each request gets a token, then a slot, passes the breaker, and is retried if that may help. */
export function createRequests(parts: RequestParts): Requests {
  const { send, budget, credential, proof = null, clock, log, retries, breaker } = parts;
  const { timeoutMs, closing, observer } = parts;

  return {
    pressure: () => budget.pressure(),
    async reserve(options) {
      const deadline = open(timeoutMs, options.signal);
      try {
        // Get the token first: fetching it may need a slot, too.
        await tokenFor(deadline, options.onTokenWait);
        breaker.check();
        const slot = await slotFor(options, deadline, options.onTokenWait);
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
        const answer = await sendUntilAnswered({ ...request, span: span ?? own }, deadline);
        own?.end();
        return answer;
      } catch (error) {
        own?.end(failureCodeOf(error));
        throw error;
      } finally {
        reserved?.cancel();
        deadline.close();
      }
    },
  };

  /** Token, slot, breaker, attempt; after a failure, retries or throws it. */
  async function sendUntilAnswered(request: RestRequest, deadline: Deadline): Promise<Answer> {
    const { method, isSafe = method === 'GET' } = request;
    let { slot: reserved } = request;
    const onTokenWait = () => {
      const wait = request.span?.start('wait for a token');
      return (failureCode?: string) => wait?.end(failureCode);
    };
    let failures = 0;
    let isRenewed = false;
    for (;;) {
      const token = await tokenFor(deadline, onTokenWait);
      breaker.check();
      const slot = reserved ?? (await slotFor(request, deadline, onTokenWait));
      reserved = undefined;
      if (!slot.isValid()) {
        // The process was suspended for so long that the slot may have been granted to others.
        slot.cancel();
        continue;
      }
      try {
        for (const usage of request.usages ?? []) usage.sent();
        return await attemptOnce(token, slot, request, deadline);
      } catch (failure) {
        if (!(failure instanceof AttemptFailure)) throw failure;
        logFailure(log, request, failure, isRenewed);
        if (failure.status === 401 && slot.trial === undefined) proof?.revoke();
        if (failure.status === 401 && !isRenewed && token !== null && credential?.discard(token)) {
          // The token was revoked, or the tenant's clock differs. Try once with a new one.
          isRenewed = true;
        } else if (failure.status === 429 && slot.trial !== undefined) {
          // The limit may concern only this token, whose requests now wait (see
          // admission/proof.ts).
          continue;
        } else if (failure.status === 429) {
          // The limit concerns the whole client: pause the budget, and try again with it.
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

  async function tokenFor(deadline: Deadline, onWait?: OnTokenWait): Promise<string | null> {
    deadline.signal.throwIfAborted();
    const token = credential?.token() ?? null;
    if (token === null || typeof token === 'string') return token;
    return waitForToken(deadline.race(token), onWait);
  }

  async function slotFor(
    options: SlotOptions,
    deadline: Deadline,
    onTokenWait?: OnTokenWait,
  ): Promise<ReservedSlot> {
    try {
      for (;;) {
        const trial = proof?.trialUnderWay(deadline) ?? null;
        if (trial === null) return await waitForSlot(options, deadline);
        // The time that another request takes is no wait for the budget.
        await waitForToken(trial, onTokenWait);
      }
    } catch (error) {
      if (failureCodeOf(error) === 'RATE_LIMITED') observer?.refused(options.lane);
      throw error;
    }
  }

  async function waitForSlot(options: SlotOptions, deadline: Deadline): Promise<ReservedSlot> {
    const { lane, usages = [] } = options;
    const askedAt = clock.monotonic();
    const span = options.span?.start('wait for the budget', { attributes: { lane } });
    try {
      const slot = await acquireSlot(options, deadline);
      observer?.waited(lane, clock.monotonic() - askedAt);
      span?.end();
      return slot;
    } catch (error) {
      span?.end(failureCodeOf(error));
      throw error;
    } finally {
      for (const usage of usages) usage.waited(askedAt, clock.monotonic());
    }
  }

  async function acquireSlot(
    { lane, caller = parts.caller }: SlotOptions,
    deadline: Deadline,
  ): Promise<ReservedSlot> {
    const { signal } = deadline;
    const trial = await proof?.begin(deadline);
    if (trial) return { ...trial.slot, trial };
    if (isCallerLane(lane))
      // Slightly before the deadline, so that the error is RATE_LIMITED and not a timeout.
      return budget.acquire({
        lane,
        caller,
        signal,
        maxWaitMs: Math.max(0, deadline.remainingMs() - 1),
      });
    // A poll waits for its slot without a limit. Its time starts when it has the slot.
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
    // The attempt continues if the caller leaves. Otherwise the outcome would be unknown, its slot
    // would stay spent, and callers who disconnect early could use up all trial slots.
    const attempt = () => attemptWith(token, slot, request, closing);
    return deadline.race(trial.run(() => breaker.run(attempt, false)));
  }

  async function attemptWith(
    token: string | null,
    slot: ReservedSlot,
    request: RestRequest,
    signal: Signal,
  ): Promise<Answer> {
    const record = beginAttempt(request, clock, observer);
    const attempt = toAttempt(token, request, record.traceparent);
    const sentAt = clock.monotonic();
    // Trials are not measured: refusing a token takes a different time than answering.
    const note = () => {
      if (slot.trial === undefined) budget.recordAnswerTime(clock.monotonic() - sentAt);
    };
    let answer: Answer | null = null;
    try {
      answer = await send({ ...attempt, signal, onSettled: slot.settle });
      note();
      const sent = { ...request.form, ...attempt.headers };
      const success = readSuccess(answer, request.endpoint, sent, clock.now());
      record.succeeded(answer.status);
      return success;
    } catch (error) {
      // A timeout counts too: the answer would have taken at least as long.
      if (answer === null && error instanceof GatewayError && error.code === 'UPSTREAM_TIMEOUT')
        note();
      record.failed(answer?.status ?? null, error);
      throw error;
    }
  }

  function open(leftMs: number, signal: Signal | undefined): Deadline {
    const message = `Upstream did not answer within ${timeoutMs} ms, including retries.`;
    const reason = () => new GatewayError('UPSTREAM_TIMEOUT', message);
    return openDeadline({ clock, timeoutMs, leftMs, reason, signals: [signal, closing] });
  }
}

function isCallerLane(lane: Lane): lane is CallerLane {
  return (CALLER_LANES as readonly Lane[]).includes(lane);
}
