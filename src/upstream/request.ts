import type { Clock } from '../clock.ts';
import type { Answer, Attempt, SendAttempt } from './attempt.ts';
import type { Budget, Lane } from './budget.ts';
import type { Credential } from './credentials.ts';
import { retryAfterMsOf, toFailure } from './failure.ts';

/** A request of the REST API, before it has a token and a place in the budget. */
export interface RestRequest extends Pick<Attempt, 'path' | 'signal'> {
  method: 'GET' | 'PATCH';
  lane: Lane;
  /** A JSON Patch. */
  patch?: unknown;
}

/** Sends a request and gives a success; throws a GatewayError for everything else. */
export type SendRequest = (request: RestRequest) => Promise<Answer>;

export interface RequestParts {
  send: SendAttempt;
  budget: Budget;
  credential: Credential;
  clock: Clock;
  /** Milliseconds a request may wait for its place in the budget. */
  patienceMs: number;
}

// Where a 429 does not say how long to wait.
const DEFAULT_RETRY_AFTER_MS = 1_000;

/** The road of a request upstream: token, budget, one attempt, and what its status means. */
export function createSendRequest(parts: RequestParts): SendRequest {
  const { send, budget, credential, clock, patienceMs } = parts;

  return async request => {
    const token = await credential.token();
    const answer = await sendWith(token, request);
    // Revoked, or the tenant's clock disagrees: worth one new token, not a loop.
    if (answer.status === 401 && credential.refused(token))
      return succeed(await sendWith(await credential.token(), request));
    return succeed(answer);
  };

  async function sendWith(
    token: string,
    { method, path, lane, patch, signal }: RestRequest,
  ): Promise<Answer> {
    const slot = await budget.acquire({ lane, patienceMs, signal });
    return send({
      method,
      path,
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        ...(patch === undefined ? {} : { 'content-type': 'application/json-patch+json' }),
      },
      ...(patch === undefined ? {} : { body: JSON.stringify(patch) }),
      signal,
      onSettled: slot.settle,
    });
  }

  function succeed(answer: Answer): Answer {
    if (answer.status >= 200 && answer.status < 300) return answer;
    const retryAfterMs =
      retryAfterMsOf(answer, clock.now()) ??
      (answer.status === 429 ? DEFAULT_RETRY_AFTER_MS : null);
    if (answer.status === 429 && retryAfterMs !== null) budget.pause(retryAfterMs);
    throw toFailure(answer, retryAfterMs);
  }
}
