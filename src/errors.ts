/** Every value that `extensions.code` of a GraphQL error can have. */
export const ERROR_CODES = [
  'BAD_USER_INPUT',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'RATE_LIMITED',
  // Clients of automatic persisted queries match these two names.
  'PERSISTED_QUERY_NOT_FOUND',
  'PERSISTED_QUERY_NOT_SUPPORTED',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_INVALID_RESPONSE',
  'INTERNAL_SERVER_ERROR',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** Upstream's answer to the failed request, for a support ticket. */
export interface UpstreamFailure {
  status: number;
  detailCode: string | null;
  trackingId: string | null;
}

/** Details for `extensions`, next to the code. `cause` is only logged. */
export interface ErrorDetails {
  cause?: unknown;
  retryAfterSeconds?: number;
  upstream?: UpstreamFailure;
}

/** An error that clients may see. Any other error is a bug, and is masked. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  // graphql-js copies `extensions` of the thrown error to the response.
  readonly extensions: { code: ErrorCode } & Omit<ErrorDetails, 'cause'>;

  constructor(code: ErrorCode, message: string, { cause, ...details }: ErrorDetails = {}) {
    super(message, { cause });
    this.extensions = { code, ...details };
  }

  get code(): ErrorCode {
    return this.extensions.code;
  }
}

/**
 * Why a part of the work failed, for its span: a code, or `aborted` if all callers have
 * left.
 */
export function failureCodeOf(error: unknown): string {
  return error instanceof GatewayError ? error.code : 'aborted';
}
