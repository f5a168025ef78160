/** Every value that `extensions.code` of an error answered to a caller can have. */
export const ERROR_CODES = [
  'BAD_USER_INPUT',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'NOT_FOUND',
  'RATE_LIMITED',
  // Clients of automatic persisted queries look for these two by name.
  'PERSISTED_QUERY_NOT_FOUND',
  'PERSISTED_QUERY_NOT_SUPPORTED',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_INVALID_RESPONSE',
  'INTERNAL_SERVER_ERROR',
] as const;
export type ErrorCode = (typeof ERROR_CODES)[number];

/** What upstream said of the failure, for a caller's support ticket. */
export interface UpstreamFailure {
  status: number;
  detailCode: string | null;
  trackingId: string | null;
}

/** Goes into `extensions` beside the code; `cause` stays inside, for the log. */
export interface ErrorDetails {
  cause?: unknown;
  retryAfterSeconds?: number;
  upstream?: UpstreamFailure;
}

/** A failure that callers may see. Whatever is not a GatewayError is a bug, and is masked. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  // graphql-js carries `extensions` of the error thrown to the error answered.
  readonly extensions: { code: ErrorCode } & Omit<ErrorDetails, 'cause'>;

  constructor(code: ErrorCode, message: string, { cause, ...details }: ErrorDetails = {}) {
    super(message, { cause });
    this.extensions = { code, ...details };
  }

  get code(): ErrorCode {
    return this.extensions.code;
  }
}
