import { randomUUID } from 'node:crypto';
import { readTraceparent } from '../../tracing.ts';

/** The header that names a request in the logs of everything it passes. */
export const REQUEST_ID_HEADER = 'x-request-id';

// A JWT is a token, which must not be logged.
const REQUEST_ID = /^(?!eyJ)[\w.:+/=@-]{1,128}$/;

/** A request's own id, the id of the trace that it belongs to, or a new one. */
export function requestIdOf(header: (name: string) => string | null): string {
  const sent = header(REQUEST_ID_HEADER);
  if (sent !== null && REQUEST_ID.test(sent)) return sent;
  return readTraceparent(header('traceparent'))?.traceId ?? randomUUID();
}
