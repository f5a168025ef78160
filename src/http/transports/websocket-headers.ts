import type { IncomingHttpHeaders } from 'node:http';
import type { OperationStart } from '../observation/operation-records.ts';
import { requestIdOf } from '../observation/request-id.ts';

/** Reads a header by its lower-case name; null if it was not sent. */
export type ReadHeader = (name: string) => string | null;

// Headers that concern the handshake alone. What is kept of the others is kept for as long as the
// socket is open.
const HANDSHAKE = /^(host|origin|connection|upgrade|user-agent|pragma|cookie|accept-.*|sec-.*)$/;
/** Of a socket that has none. */
export const NO_HEADERS: ReadHeader = () => null;

/**
 * Reads the headers of a socket from the payload of `connection_init`, then from the upgrade
 * request. Clients put them at the top of the payload or under `headers`; Apollo's router sends the
 * caller's `authorization` as `connectionParams.token`.
 */
export function headerReader(
  params: Readonly<Record<string, unknown>> | undefined,
  headers: IncomingHttpHeaders,
): ReadHeader {
  const values = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    const [first] = [value].flat();
    if (first !== undefined && !HANDSHAKE.test(name)) values.set(name, first);
  }
  const bags = [params, params?.['headers'], params?.['connectionParams']].flatMap(bag =>
    typeof bag === 'object' && bag !== null ? Object.entries(bag) : [],
  );
  for (const [name, value] of bags) {
    if (typeof value !== 'string') continue;
    if (name === 'token') values.set('authorization', withScheme(value));
    else values.set(name.toLowerCase(), value);
  }
  return values.size === 0 ? NO_HEADERS : name => values.get(name) ?? null;
}

/** What the headers of a socket say of an operation. */
export function startOf(header: ReadHeader): OperationStart {
  return {
    transport: 'websocket',
    requestId: requestIdOf(header),
    traceparent: header('traceparent'),
  };
}

function withScheme(token: string): string {
  return /^bearer /i.test(token) ? token : `Bearer ${token}`;
}
