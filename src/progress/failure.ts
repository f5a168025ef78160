import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Failure } from './group-message.ts';

/** Milliseconds for which failures that may pass are not published. A stream that would be silent for longer is ended. */
export const MAX_SILENCE_MS = 60_000;

/** The error as a group message carries it; the cause stays here. */
export function toFailure({ code, message, extensions }: GatewayError): Failure {
  const { code: _, ...details } = extensions;
  return { code, message, details };
}

export function fromFailure({ code, message, details }: Failure): GatewayError {
  return new GatewayError(code, message, details);
}

/** The error as subscribers may see it. Anything but a GatewayError is a bug, and logged as one. */
export function toGatewayError(error: unknown, log: Log): GatewayError {
  if (error instanceof GatewayError) return error;
  log.error({ err: error }, 'a watch failed unexpectedly');
  return new GatewayError('INTERNAL_SERVER_ERROR', 'Unexpected error.', { cause: error });
}
