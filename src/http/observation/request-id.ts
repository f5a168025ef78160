import { randomUUID } from 'node:crypto';

/** The header that names a request in the logs of everything it passes. */
export const REQUEST_ID_HEADER = 'x-request-id';

const REQUEST_ID = /^[\w.:+/=@-]{1,128}$/;
const TRACEPARENT = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}/;

/** A request's own id, the id of the trace that it belongs to, or a new one. */
export function requestIdOf(header: (name: string) => string | null): string {
  const sent = header(REQUEST_ID_HEADER);
  if (sent !== null && REQUEST_ID.test(sent)) return sent;
  const [, traceId] = TRACEPARENT.exec(header('traceparent') ?? '') ?? [];
  return traceId !== undefined && /[^0]/.test(traceId) ? traceId : randomUUID();
}
