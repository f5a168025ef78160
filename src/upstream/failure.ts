import type { ErrorCode } from '../errors.ts';
import { AttemptFailure, type Diagnosis, MAX_RETRIES } from './admission/attempt-failure.ts';
import type { EndpointName } from './attempt-report.ts';
import type { Answer } from './attempt.ts';
import { readRetryAfter } from './retry-after.ts';
import type { SentValues } from './secrets.ts';
import { type ErrorBody, isErrorBody, readErrorBody } from './error-body.ts';

/**
 * The error that a status means to callers. The message has no full stop, so that upstream's words
 * can follow.
 */
interface Meaning {
  code: ErrorCode;
  message: string;
}

const MEANINGS: Readonly<Record<number, Meaning>> = {
  401: { code: 'UNAUTHENTICATED', message: 'Upstream did not accept the token' },
  403: { code: 'FORBIDDEN', message: 'The token lacks permission for this request' },
  404: { code: 'NOT_FOUND', message: 'Upstream has no such task' },
  408: { code: 'UPSTREAM_TIMEOUT', message: 'Upstream did not receive the request in time' },
  410: { code: 'NOT_FOUND', message: 'Upstream has no such task any more' },
  429: { code: 'RATE_LIMITED', message: "Upstream's rate limit is reached" },
  504: { code: 'UPSTREAM_TIMEOUT', message: 'Upstream did not answer in time' },
};

// Worth a retry even if upstream gives a reason: these failures are expected to pass.
const TRANSIENT = new Set([408, 502, 503, 504]);

const REFUSED: Diagnosis = { health: 'healthy', maxRetries: 0, mayHaveActed: true };
const FAILING: Diagnosis = { health: 'failing', maxRetries: MAX_RETRIES, mayHaveActed: true };

/**
 * Returns a successful answer of an endpoint unchanged and throws an AttemptFailure for any other.
 * `sent` is what the request carried, to be removed from messages; `now` is in milliseconds since
 * the epoch.
 */
export function readSuccess(
  answer: Answer,
  endpoint: EndpointName,
  sent: SentValues,
  now: number,
): Answer {
  const { status } = answer;
  if (status === 204) return answer;
  if (status < 200 || status >= 300) throw toFailure(answer, endpoint, sent, now);
  if (isProbablyJson(answer.body)) return answer;
  throw new AttemptFailure(
    'UPSTREAM_INVALID_RESPONSE',
    'Upstream answered with something that is not JSON.',
    FAILING,
    { explanation: `a success (${status}) whose body is not JSON` },
  );
}

function toFailure(
  answer: Answer,
  endpoint: EndpointName,
  sent: SentValues,
  now: number,
): AttemptFailure {
  const { status } = answer;
  const errorBody = readErrorBody(answer, sent);
  const retryAfterSeconds = readRetryAfter(answer.header('retry-after'), now);
  const details = {
    ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
    upstream: { status, detailCode: errorBody.detailCode, trackingId: errorBody.trackingId },
  };
  const fail = ({ code, message }: Meaning, diagnosis: Diagnosis, explanation?: string) =>
    new AttemptFailure(
      code,
      errorBody.text === null ? `${message}.` : `${message}: ${errorBody.text}`,
      diagnosis,
      { ...details, explanation, hasUpstreamMessage: errorBody.text !== null },
    );

  if (status < 400)
    return new AttemptFailure(
      'UPSTREAM_UNAVAILABLE',
      `Upstream answered with a redirect (${status}): the gateway is not configured with the URL of the tenant's API.`,
      REFUSED,
      {
        ...details,
        explanation: `a redirect (${status}), which is not followed: check that SAIL_BASE_URL is the tenant's API, https://{tenant}.api.identitynow.com`,
      },
    );
  // Every tenant has the list: it is not a task that is missing.
  if ((status === 404 || status === 410) && (endpoint === 'list' || endpoint === 'pending'))
    return fail(
      {
        code: 'UPSTREAM_UNAVAILABLE',
        message: 'Upstream has no list of tasks at the configured address',
      },
      REFUSED,
      `status ${status} for the list of tasks: check SAIL_BASE_URL and UPSTREAM_API_VERSION`,
    );
  if (isFromProxy(answer, errorBody))
    return fail(
      {
        code: 'UPSTREAM_UNAVAILABLE',
        message: `A proxy or firewall before upstream answered with status ${status}`,
      },
      status === 503 ? FAILING : REFUSED,
      `status ${status} without JSON: the answer of a proxy or firewall before upstream`,
    );
  if (status >= 500) {
    const meaning = MEANINGS[status] ?? {
      code: 'UPSTREAM_UNAVAILABLE' as const,
      message: `Upstream failed with status ${status}`,
    };
    // With a message, the failure is about this request, such as a filter on a property that
    // upstream does not support. It says nothing about upstream's health.
    if (errorBody.text === null) return fail(meaning, FAILING, `status ${status}`);
    const maxRetries = TRANSIENT.has(status) ? MAX_RETRIES : 1;
    return fail(
      meaning,
      { ...REFUSED, maxRetries },
      `status ${status}, with a message of upstream`,
    );
  }
  const meaning = MEANINGS[status] ?? {
    code: 'BAD_USER_INPUT' as const,
    message:
      status === 400
        ? 'Upstream refused the request'
        : `Upstream refused the request with status ${status}`,
  };
  return fail(meaning, TRANSIENT.has(status) ? { ...REFUSED, maxRetries: MAX_RETRIES } : REFUSED);
}

/**
 * Whether a proxy or firewall has answered in place of upstream. Upstream's own 403 and 503 have a
 * message, or, if they have no body, the header with the request's id.
 */
function isFromProxy(answer: Answer, errorBody: ErrorBody): boolean {
  const { status, body, header } = answer;
  if (status === 407) return true;
  if ((status !== 403 && status !== 503) || errorBody.text !== null) return false;
  return body.length === 0 ? header('slpt-request-id') === null : !isErrorBody(answer);
}

/**
 * Checks only the first and last character: most lists are read row by row and never parsed as a
 * whole.
 */
function isProbablyJson(body: Buffer): boolean {
  const first = body.find(isVisible);
  const last = body.findLast(isVisible);
  return (first === 0x7b && last === 0x7d) || (first === 0x5b && last === 0x5d);
}

function isVisible(byte: number): boolean {
  return byte > 0x20;
}
