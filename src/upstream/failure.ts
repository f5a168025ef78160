import type { ErrorCode } from '../errors.ts';
import { AttemptFailure, type Diagnosis, MAX_RETRIES } from './admission/attempt-failure.ts';
import type { Answer } from './attempt.ts';
import { readRetryAfter } from './retry-after.ts';
import { type Wording, readWording } from './wording.ts';

/** A status, as the failure it means to a caller: the code, and a sentence without its full stop. */
interface Meaning {
  code: ErrorCode;
  message: string;
}

const MEANINGS: Readonly<Record<number, Meaning>> = {
  401: { code: 'UNAUTHENTICATED', message: 'Upstream did not accept the token' },
  403: { code: 'FORBIDDEN', message: 'Upstream does not allow this to the token' },
  404: { code: 'NOT_FOUND', message: 'Upstream has no such task' },
  408: { code: 'UPSTREAM_TIMEOUT', message: 'Upstream did not receive the request in time' },
  410: { code: 'NOT_FOUND', message: 'Upstream has no such task any more' },
  429: { code: 'RATE_LIMITED', message: "Upstream's rate limit is reached" },
  504: { code: 'UPSTREAM_TIMEOUT', message: 'Upstream did not answer in time' },
};

// Worth another attempt, in whatever words they come: the trouble is expected to pass.
const PASSING = new Set([408, 502, 503, 504]);

const REFUSED: Diagnosis = { health: 'well', maxRetries: 0, wasSeen: true };
const FAILING: Diagnosis = { health: 'failing', maxRetries: MAX_RETRIES, wasSeen: true };

/**
 * Gives a success back, and throws what any other answer means. `sent` are the headers of the
 * request; `now` is in milliseconds since the epoch.
 */
export function readSuccess(
  answer: Answer,
  sent: Readonly<Record<string, string>>,
  now: number,
): Answer {
  const { status } = answer;
  if (status === 204) return answer;
  if (status < 200 || status >= 300) throw toFailure(answer, sent, now);
  if (looksLikeJson(answer.body)) return answer;
  throw new AttemptFailure(
    'UPSTREAM_INVALID_RESPONSE',
    'Upstream answered with something that is not JSON.',
    FAILING,
    { explanation: `a success (${status}) whose body is not JSON` },
  );
}

function toFailure(
  answer: Answer,
  sent: Readonly<Record<string, string>>,
  now: number,
): AttemptFailure {
  const { status } = answer;
  const wording = readWording(answer, sent);
  const retryAfterSeconds = readRetryAfter(answer.header('retry-after'), now);
  const details = {
    ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
    upstream: { status, detailCode: wording.detailCode, trackingId: wording.trackingId },
  };
  const fail = ({ code, message }: Meaning, diagnosis: Diagnosis, explanation?: string) =>
    new AttemptFailure(
      code,
      wording.text === null ? `${message}.` : `${message}: ${wording.text}`,
      diagnosis,
      { ...details, explanation, isWorded: wording.text !== null },
    );

  if (status < 400)
    return new AttemptFailure(
      'UPSTREAM_UNAVAILABLE',
      `Upstream answered with a redirect (${status}): the gateway is not set up with the address of the tenant's API.`,
      REFUSED,
      {
        ...details,
        explanation: `a redirect (${status}), which is not followed: check that SAIL_BASE_URL is the tenant's API, https://{tenant}.api.identitynow.com`,
      },
    );
  if (isFromProxy(answer, wording))
    return fail(
      {
        code: 'UPSTREAM_UNAVAILABLE',
        message: `The request did not get through to upstream: a proxy or firewall on the way answered with status ${status}`,
      },
      status === 503 ? FAILING : REFUSED,
      `status ${status} without JSON: the answer of a proxy or firewall before upstream`,
    );
  if (status >= 500) {
    const meaning = MEANINGS[status] ?? {
      code: 'UPSTREAM_UNAVAILABLE' as const,
      message: `Upstream failed with status ${status}`,
    };
    // In words, it is what upstream makes of this one request, such as a filter on a property that it
    // does not support, and says nothing of upstream's health.
    if (wording.text === null) return fail(meaning, FAILING, `status ${status}`);
    const maxRetries = PASSING.has(status) ? MAX_RETRIES : 1;
    return fail(meaning, { ...REFUSED, maxRetries }, `status ${status}, in upstream's words`);
  }
  const meaning = MEANINGS[status] ?? {
    code: 'BAD_USER_INPUT' as const,
    message:
      status === 400
        ? 'Upstream refused the request'
        : `Upstream refused the request with status ${status}`,
  };
  return fail(meaning, PASSING.has(status) ? { ...REFUSED, maxRetries: MAX_RETRIES } : REFUSED);
}

/**
 * Whether something before upstream has answered. Upstream words a 403 and a 503, or, where it
 * declares no body at all, still gives the request an id.
 */
function isFromProxy({ status, body, header, json }: Answer, wording: Wording): boolean {
  if (status === 407) return true;
  if ((status !== 403 && status !== 503) || wording.text !== null) return false;
  return body.length === 0 ? header('slpt-request-id') === null : json === undefined;
}

/** By its ends alone: most lists are read row by row, and never parsed as a whole. */
function looksLikeJson(body: Buffer): boolean {
  const first = body.find(isInk);
  const last = body.findLast(isInk);
  return (first === 0x7b && last === 0x7d) || (first === 0x5b && last === 0x5d);
}

function isInk(byte: number): boolean {
  return byte > 0x20;
}
