import { type ErrorCode, GatewayError } from '../errors.ts';
import type { Answer } from './attempt.ts';
import { FailureJson } from './wire.ts';

// Anything else that is no success: upstream is not in a state to answer.
const CODES: Readonly<Record<number, ErrorCode>> = {
  400: 'BAD_USER_INPUT',
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  408: 'UPSTREAM_TIMEOUT',
  414: 'BAD_USER_INPUT',
  429: 'RATE_LIMITED',
  504: 'UPSTREAM_TIMEOUT',
};

const MESSAGES: Readonly<Partial<Record<ErrorCode, string>>> = {
  UNAUTHENTICATED: 'Upstream did not accept the token.',
  FORBIDDEN: 'Upstream does not allow this to the token.',
  NOT_FOUND: 'Upstream has no such task.',
  RATE_LIMITED: "Upstream's rate limit is reached.",
  UPSTREAM_TIMEOUT: 'Upstream did not answer in time.',
};

/** An answer that is no success, as the failure it means to a caller. */
export function toFailure(answer: Answer, retryAfterMs: number | null): GatewayError {
  const { status } = answer;
  const said = FailureJson.safeParse(answer.json).data;
  const code = CODES[status] ?? 'UPSTREAM_UNAVAILABLE';
  const wording = said?.detailMessage ?? said?.messages?.[0]?.text ?? said?.causes?.[0]?.text;
  // Only where upstream names a fault of the caller's own input do its words help.
  const message =
    code === 'BAD_USER_INPUT' && wording
      ? `Upstream refused the request: ${wording}`
      : MESSAGES[code];
  return new GatewayError(code, message ?? `Upstream failed with status ${status}.`, {
    ...(retryAfterMs === null ? {} : { retryAfterSeconds: Math.ceil(retryAfterMs / 1000) }),
    upstream: {
      status,
      detailCode: said?.detailCode ?? null,
      trackingId: said?.trackingId ?? answer.header('slpt-request-id'),
    },
  });
}

/** Milliseconds that a Retry-After of seconds or a date asks for; null where there is none. */
export function retryAfterMsOf(answer: Answer, now: number): number | null {
  const text = answer.header('retry-after');
  if (text === null) return null;
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isFinite(ms) ? Math.max(0, ms) : null;
}
