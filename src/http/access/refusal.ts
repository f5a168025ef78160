import { GraphQLError } from 'graphql';
import { type ErrorCode, GatewayError } from '../../errors.ts';

/** The HTTP response for a refusal. */
export interface HttpAnswer {
  status: number;
  headers?: Record<string, string>;
  /**
   * Whether the status is 200 for clients that accept only `application/json`, as GraphQL over HTTP
   * recommends.
   */
  spec?: boolean;
}

const STATUSES: Partial<Record<ErrorCode, HttpAnswer>> = {
  UNAUTHENTICATED: { status: 401, headers: { 'www-authenticate': 'Bearer' } },
  FORBIDDEN: { status: 403 },
  NOT_FOUND: { status: 404 },
  RATE_LIMITED: { status: 429 },
  UPSTREAM_UNAVAILABLE: { status: 503 },
  UPSTREAM_TIMEOUT: { status: 504 },
};

/**
 * The error for a request that is refused as a whole. Yoga reads `http`, which is never serialized.
 */
export function refusal(code: ErrorCode, message: string, http?: HttpAnswer): GraphQLError {
  const originalError = new GatewayError(code, message);
  const error = new GraphQLError(message, { originalError, extensions: { code } });
  return withHttp(error, http ?? STATUSES[code] ?? { status: 400 });
}

/**
 * Converts a GatewayError into a refusal with `http`, or the HTTP status for its code. Returns
 * other errors unchanged.
 */
export function toRefusal(error: unknown, http?: HttpAnswer): unknown {
  if (!(error instanceof GatewayError)) return error;
  const refused = new GraphQLError(error.message, {
    originalError: error,
    extensions: { ...error.extensions },
  });
  return withHttp(refused, http ?? STATUSES[error.code] ?? { status: 400 });
}

/**
 * Sets the HTTP response for an error. The property is not enumerable, so it is never serialized.
 */
export function withHttp(error: GraphQLError, http: HttpAnswer): GraphQLError {
  Object.defineProperty(error.extensions, 'http', {
    value: http,
    enumerable: false,
    configurable: true,
    writable: true,
  });
  return error;
}

/** The HTTP response that was set on an error, or on the error that it wraps. */
export function httpOf(error: unknown): HttpAnswer | undefined {
  if (!(error instanceof GraphQLError)) return undefined;
  return (error.extensions['http'] as HttpAnswer | undefined) ?? httpOf(error.originalError);
}
