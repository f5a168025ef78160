import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Slot } from '../fleet/fleet.ts';
import type { Answer, Attempt, SendAttempt } from './attempt.ts';
import type { Budget, Lane } from './budget.ts';
import type { Credential } from './credentials.ts';
import { type Deadline, openDeadline } from './deadline.ts';
import { retryAfterMsOf, toFailure } from './failure.ts';
import type { Breaker, Retries } from './retry.ts';

/** A request of the REST API, before it has a token and a place in the budget. */
export interface RestRequest extends Pick<Attempt, 'path' | 'signal'> {
  method: 'GET' | 'PATCH';
  lane: Lane;
  /** A JSON Patch. */
  patch?: unknown;
  /** A place in the budget that was reserved for it; the request settles or cancels it. */
  slot?: Slot | undefined;
}

/** The road upstream. */
export interface Requests {
  /** Sends a request and gives a success; throws a GatewayError for everything else. */
  send(request: RestRequest): Promise<Answer>;
  /** A place in the budget for a request that is to be put together when its turn comes. */
  reserve(wish: { lane: Lane; signal?: AbortSignal | undefined }): Promise<Slot>;
  /** The part of the budget that is spent, 0–1. */
  pressure(): number;
}

export interface RequestParts {
  send: SendAttempt;
  budget: Budget;
  credential: Credential;
  clock: Clock;
  retries: Retries;
  breaker: Breaker;
  /** Milliseconds from asking to answer: the wait for the budget and every attempt. */
  timeoutMs: number;
}

// Where a 429 does not say how long to wait.
const DEFAULT_RETRY_AFTER_MS = 1_000;

export function createRequests(parts: RequestParts): Requests {
  const { send, budget, credential, clock, retries, breaker, timeoutMs } = parts;
  const timeout = () =>
    new GatewayError(
      'UPSTREAM_TIMEOUT',
      `Upstream gave no answer within ${timeoutMs} ms, all attempts together.`,
    );

  return {
    pressure: () => budget.pressure(),
    async reserve({ lane, signal }) {
      // First, so that nobody who holds a place waits for one to fetch a token with.
      await credential.token();
      return budget.acquire({ lane, patienceMs: timeoutMs, signal });
    },
    async send(request) {
      const deadline = openDeadline(clock, timeoutMs, timeout(), request.signal);
      retries.earn();
      try {
        return await sendUntilAnswered(request, deadline);
      } finally {
        request.slot?.cancel();
        deadline.close();
      }
    },
  };

  async function sendUntilAnswered(request: RestRequest, deadline: Deadline): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      try {
        const { slot } = request;
        return await breaker(() =>
          sendAuthorized({ ...request, slot: attempt === 1 ? slot : undefined }, deadline),
        );
      } catch (error) {
        const backoffMs = retries.backoffMs(error, attempt, { isSafe: request.method === 'GET' });
        if (backoffMs === null || backoffMs >= deadline.remainingMs()) throw error;
        await deadline.pause(backoffMs);
      }
    }
  }

  async function sendAuthorized(request: RestRequest, deadline: Deadline): Promise<Answer> {
    const token = await credential.token();
    const answer = await sendInTurn(token, request, deadline);
    // Revoked, or the tenant's clock disagrees: worth one new token, not a loop.
    if (answer.status !== 401 || !credential.refused(token)) return succeed(answer);
    return succeed(
      await sendInTurn(await credential.token(), { ...request, slot: undefined }, deadline),
    );
  }

  /** Sends when there is room. A 429 makes everybody wait, and is no answer: who got it waits too. */
  async function sendInTurn(
    token: string,
    request: RestRequest,
    deadline: Deadline,
  ): Promise<Answer> {
    const { lane, slot: reserved } = request;
    for (let slot = reserved; ; slot = undefined) {
      // A little before the deadline, so that who waited in vain is told of the budget and not of a timeout.
      const patienceMs = Math.max(0, deadline.remainingMs() - 1);
      slot ??= await budget.acquire({ lane, patienceMs, signal: deadline.signal });
      if (!slot.isValid()) {
        slot.cancel();
        continue;
      }
      const answer = await send({
        ...toAttempt(token, request),
        signal: deadline.signal,
        onSettled: slot.settle,
      });
      if (answer.status !== 429) return answer;
      budget.pause(retryAfterMsOf(answer, clock.now()) ?? DEFAULT_RETRY_AFTER_MS);
    }
  }

  function succeed(answer: Answer): Answer {
    if (answer.status >= 200 && answer.status < 300) {
      if (answer.json !== undefined || answer.status === 204) return answer;
      throw new GatewayError(
        'UPSTREAM_INVALID_RESPONSE',
        'Upstream answered with something that is not JSON.',
      );
    }
    throw toFailure(answer, retryAfterMsOf(answer, clock.now()));
  }
}

function toAttempt(token: string, { method, path, patch }: RestRequest): Attempt {
  const headers = { authorization: `Bearer ${token}`, accept: 'application/json' };
  if (patch === undefined) return { method, path, headers };
  return {
    method,
    path,
    headers: { ...headers, 'content-type': 'application/json-patch+json' },
    body: JSON.stringify(patch),
  };
}
