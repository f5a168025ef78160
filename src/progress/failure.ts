import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Failure } from './group-message.ts';

/**
 * Milliseconds for which polls may fail before subscribers get an error. Temporary failures are
 * hidden for this long.
 */
export const MAX_SILENCE_MS = 60_000;

/** The error as a group message carries it, without its cause. */
export function toFailure({ code, message, extensions }: GatewayError): Failure {
  const { code: _, ...details } = extensions;
  return { code, message, details };
}

/** The reverse of `toFailure`. */
export function fromFailure({ code, message, details }: Failure): GatewayError {
  return new GatewayError(code, message, details);
}

/**
 * The error to send to subscribers. An error other than GatewayError is a bug: it is logged and
 * masked.
 */
export function toGatewayError(error: unknown, log: Log): GatewayError {
  if (error instanceof GatewayError) return error;
  log.error({ err: error }, 'a watch failed unexpectedly');
  return new GatewayError('INTERNAL_SERVER_ERROR', 'Unexpected error.', { cause: error });
}

/** The reason of the abort when the last subscriber leaves. No caller sees it. */
export function allLeft(): GatewayError {
  return new GatewayError('UPSTREAM_UNAVAILABLE', 'The last subscriber has left.');
}
