import type { EventEmitter } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ClientAddress } from './client-address.ts';
import { type ConnectionRefusal, refusalOf, refuseRaw } from './connection-refusal.ts';

export interface ConnectionLimitsOptions {
  /** Connections in all. */
  maxConnections: number;
  /** Connections of one address; behind trusted proxies, requests and WebSockets of one address at once. */
  maxConnectionsPerAddress: number;
  /** How long a client may take to send a request, and to read any of what it is sent. */
  clientTimeoutMs: number;
  clientAddress: ClientAddress;
}

/** Bounds what connections a client may hold, and for how long it may leave them idle. */
export interface ConnectionLimits {
  /** Null if the request may be served; it then counts until `exchange`, its response or socket, is closed. */
  admit(request: IncomingMessage, exchange: ServerResponse | Socket): ConnectionRefusal | null;
}

const HEADERS_TIMEOUT_MS = 10_000;
// Further connections are accepted for as long as it takes to refuse their first request.
const MAX_REFUSED = 1_000;
// HTTP/1.1 lets a client send requests without waiting for answers.
const MAX_REQUESTS_PER_CONNECTION = 100;

const TOO_MANY = refusalOf(503, 'RATE_LIMITED', 'The gateway has too many connections.');
const TOO_MANY_OF_ADDRESS = refusalOf(
  429,
  'RATE_LIMITED',
  'There are too many connections from this address.',
);
const TOO_MANY_AT_ONCE = refusalOf(
  429,
  'RATE_LIMITED',
  `One connection may have ${MAX_REQUESTS_PER_CONNECTION} requests at once.`,
);

export function limitConnections(
  server: Server,
  {
    maxConnections,
    maxConnectionsPerAddress,
    clientTimeoutMs,
    clientAddress: { addressOf, isProxy },
  }: ConnectionLimitsOptions,
): ConnectionLimits {
  const refused = new WeakMap<Socket, ConnectionRefusal>();
  const underWay = new WeakMap<Socket, Set<ServerResponse | Socket>>();
  const byAddress = new Map<string, number>();
  const counted = new WeakSet<Socket>();
  let connections = 0;

  server.maxConnections = maxConnections + MAX_REFUSED;
  server.headersTimeout = Math.min(HEADERS_TIMEOUT_MS, clientTimeoutMs);
  server.requestTimeout = clientTimeoutMs;
  server.prependListener('connection', (socket: Socket) => {
    // It is announced again where an offer to upgrade is passed over.
    if (counted.has(socket)) return;
    counted.add(socket);
    connections++;
    socket.once('close', () => connections--);
    if (connections > maxConnections) refused.set(socket, TOO_MANY);
    // The clients behind a proxy are counted by their requests.
    else if (!isProxy(socket) && !count(addressOf({ socket } as IncomingMessage), socket))
      refused.set(socket, TOO_MANY_OF_ADDRESS);
  });
  // No byte went either way for so long. The timer starts again with the next byte.
  server.setTimeout(clientTimeoutMs, (socket: Socket) => {
    const exchanges = underWay.get(socket);
    // Before the first request, `headersTimeout` ends it, with an answer.
    if (exchanges === undefined) return;
    const isWorkingForIt = exchanges.size > 0 && socket.writableLength === 0;
    if (!isWorkingForIt) socket.destroy();
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
    // Its end was announced; whatever else it sends is discarded.
    if (socket.writableEnded && !socket.destroyed) return;
    const isAnswering = [...(underWay.get(socket) ?? [])].some(
      exchange => exchange === socket || (exchange as ServerResponse).headersSent,
    );
    if (!socket.writable || isAnswering) return void socket.destroy();
    refuseRaw(socket, refusalFor(error));
  });

  return {
    admit(request, exchange) {
      const { socket } = request;
      const refusal = refused.get(socket);
      if (refusal) return refusal;
      const exchanges = underWay.get(socket) ?? new Set();
      if (exchanges.size >= MAX_REQUESTS_PER_CONNECTION) return TOO_MANY_AT_ONCE;
      if (isProxy(socket) && !count(addressOf(request), exchange)) return TOO_MANY_OF_ADDRESS;
      underWay.set(socket, exchanges.add(exchange));
      exchange.once('close', () => exchanges.delete(exchange));
      return null;
    },
  };

  /** False if the address has as many as it may. */
  function count(address: string, until: EventEmitter): boolean {
    const known = byAddress.get(address) ?? 0;
    if (known >= maxConnectionsPerAddress) return false;
    byAddress.set(address, known + 1);
    until.once('close', () => {
      const left = (byAddress.get(address) ?? 1) - 1;
      if (left > 0) byAddress.set(address, left);
      else byAddress.delete(address);
    });
    return true;
  }
}

/** How often Node looks for requests that take too long to arrive. */
export function checkingIntervalOf(clientTimeoutMs: number): number {
  return Math.ceil(Math.min(5_000, clientTimeoutMs / 4));
}

/** What Node could not read as a request. */
function refusalFor({ code }: NodeJS.ErrnoException): ConnectionRefusal {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return refusalOf(408, 'BAD_USER_INPUT', 'The request took too long to arrive.');
  if (code === 'HPE_HEADER_OVERFLOW')
    return refusalOf(431, 'BAD_USER_INPUT', 'The headers of the request are too large.');
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return refusalOf(413, 'BAD_USER_INPUT', 'The chunk extensions of the request are too large.');
  return refusalOf(400, 'BAD_USER_INPUT', 'The request is not valid HTTP.');
}
