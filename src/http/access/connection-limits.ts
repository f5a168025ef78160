import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { ClientAddress } from './client-address.ts';
import { type ConnectionRefusal, refusalOf, refuseRaw } from './connection-refusal.ts';

export interface ConnectionLimitsOptions {
  /** The maximum number of connections. */
  maxConnections: number;
  /**
   * The maximum for one address: its connections, or, behind trusted proxies, its concurrent
   * requests and WebSockets.
   */
  maxConnectionsPerAddress: number;
  /** Milliseconds that a client may take to send a request, and to read a part of the response. */
  clientTimeoutMs: number;
  clientAddress: ClientAddress;
  /** Called when bytes are refused that Node cannot parse as a request, or that came too late. */
  onUnreadable(refusal: { status: number; reason: string }): void;
}

/** Limits the number of connections of a client, and how long they may be idle. */
export interface ConnectionLimits {
  /**
   * Null if the request may be served. It then counts until `exchange`, its response or socket, is
   * closed.
   */
  admit(request: IncomingMessage, exchange: ServerResponse | Socket): ConnectionRefusal | null;
}

const HEADERS_TIMEOUT_MS = 10_000;
// So many further connections are accepted, only to refuse their first request with a reason.
const MAX_REFUSED = 1_000;
// HTTP/1.1 allows pipelining: a client may send requests without waiting for responses.
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
  `A connection may have at most ${MAX_REQUESTS_PER_CONNECTION} concurrent requests.`,
);

/** Installs the limits on a server; call `admit` for each request. */
export function limitConnections(
  server: Server,
  {
    maxConnections,
    maxConnectionsPerAddress,
    clientTimeoutMs,
    clientAddress: { addressOf, isProxy },
    onUnreadable,
  }: ConnectionLimitsOptions,
): ConnectionLimits {
  const known = new WeakSet<Socket>();
  const refused = new WeakMap<Socket, ConnectionRefusal>();
  // Few at a time. Sets would hold on to exchanges that have ended for as long as their connections
  // live (see `Bag`).
  const exchangesOf = new WeakMap<Socket, (ServerResponse | Socket)[]>();
  /** Of connections whose time is over: the last request of which anything has been read. */
  const late = new WeakMap<Socket, IncomingMessage | undefined>();
  const byAddress = new Map<string, number>();
  /** The addresses that connections and exchanges count for. */
  const countedFor = new WeakMap<object, string>();
  /** Exchanges whose connections an application has accepted. */
  const foreign = new WeakSet<object>();
  let connections = 0;

  server.maxConnections = maxConnections + MAX_REFUSED;
  server.headersTimeout = Math.min(HEADERS_TIMEOUT_MS, clientTimeoutMs);
  server.requestTimeout = clientTimeoutMs;
  server.prependListener('connection', (socket: Socket) => {
    // A connection with an ignored upgrade emits this event twice.
    if (known.has(socket)) return;
    known.add(socket);
    connections++;
    socket.on('close', onConnectionClose);
    if (connections > maxConnections) refused.set(socket, TOO_MANY);
    // Clients behind a proxy are counted per request.
    else if (!isProxy(socket) && !count(addressOf({ socket } as IncomingMessage), socket))
      refused.set(socket, TOO_MANY_OF_ADDRESS);
  });
  // Called when no byte was sent or received for so long. The timer restarts with the next byte.
  server.setTimeout(clientTimeoutMs, (socket: Socket) => {
    const exchanges = exchangesOf.get(socket);
    // Before the first request, `headersTimeout` closes the connection with a response.
    if (exchanges === undefined) return;
    const isProcessing = exchanges.length > 0 && socket.writableLength === 0;
    if (!isProcessing) socket.destroy();
  });
  server.on('clientError', (error: ParseError, socket: Socket) => {
    if (error.code !== 'ERR_HTTP_REQUEST_TIMEOUT') return endAfter(error, socket);
    // Node looks at the clock before it reads what arrived while the process was busy. The rest may
    // be there.
    late.set(socket, requestBeingRead(socket));
    setImmediate(() => {
      const request = late.get(socket);
      late.delete(socket);
      if (request === undefined || !isWhole(request, socket)) endAfter(error, socket);
    });
  });

  return {
    admit(request, exchange) {
      const { socket } = request;
      if (late.has(socket)) late.set(socket, request);
      // An application that embeds the gateway has accepted the connection: count the exchange
      // instead.
      const isForeign = !known.has(socket);
      if (isForeign && connections >= maxConnections) return TOO_MANY;
      const refusal = refused.get(socket);
      if (refusal) return refusal;
      const exchanges = exchangesOf.get(socket) ?? [];
      if (exchanges.length >= MAX_REQUESTS_PER_CONNECTION) return TOO_MANY_AT_ONCE;
      if ((isForeign || isProxy(socket)) && !count(addressOf(request), exchange))
        return TOO_MANY_OF_ADDRESS;
      if (isForeign) {
        connections++;
        foreign.add(exchange);
      }
      exchanges.push(exchange);
      exchangesOf.set(socket, exchanges);
      exchange.on('close', onExchangeClose);
      return null;
    },
  };

  // Listeners without functions of their own, which would take memory for each connection.
  function onConnectionClose(this: Socket): void {
    connections--;
    release(this);
  }

  function onExchangeClose(this: ServerResponse | Socket): void {
    const socket = 'req' in this ? this.req.socket : this;
    const exchanges = exchangesOf.get(socket) ?? [];
    const place = exchanges.indexOf(this);
    if (place >= 0) exchanges.splice(place, 1);
    if (foreign.delete(this)) connections--;
    release(this);
  }

  /** Ends a connection for an error of its client, with an answer if there is none yet. */
  function endAfter(error: NodeJS.ErrnoException, socket: Socket): void {
    // It is being closed; anything else the client sends is discarded.
    if (socket.writableEnded && !socket.destroyed) return;
    const isAnswering = (exchangesOf.get(socket) ?? []).some(
      exchange => exchange === socket || (exchange as ServerResponse).headersSent,
    );
    if (!socket.writable || isAnswering) return void socket.destroy();
    const [status, reason] = explain(error);
    // Browsers and balancers open connections that they may not use.
    if (socket.bytesRead > 0) onUnreadable({ status, reason });
    refuseRaw(socket, refusalOf(status, 'BAD_USER_INPUT', reason));
  }

  function requestBeingRead(socket: Socket): IncomingMessage | undefined {
    const requests = (exchangesOf.get(socket) ?? []).map(exchange =>
      exchange === socket ? undefined : (exchange as ServerResponse).req,
    );
    return requests.find(request => request?.complete === false);
  }

  /** Whether all of a request has been received. */
  function isWhole(request: IncomingMessage, socket: Socket): boolean {
    // A WebSocket is opened by its headers.
    return request.complete || exchangesOf.get(socket)?.includes(socket) === true;
  }

  /** Counts one more until `release`. False if the address has reached its limit. */
  function count(address: string, counted: Socket | ServerResponse): boolean {
    const known = byAddress.get(address) ?? 0;
    if (known >= maxConnectionsPerAddress) return false;
    byAddress.set(address, known + 1);
    countedFor.set(counted, address);
    return true;
  }

  function release(counted: Socket | ServerResponse): void {
    const address = countedFor.get(counted);
    if (address === undefined) return;
    countedFor.delete(counted);
    const left = (byAddress.get(address) ?? 1) - 1;
    if (left > 0) byAddress.set(address, left);
    else byAddress.delete(address);
  }
}

/** How often Node checks for requests that take too long to arrive, in milliseconds. */
export function checkingIntervalOf(clientTimeoutMs: number): number {
  return Math.ceil(Math.min(5_000, clientTimeoutMs / 4));
}

/** An error of Node's parser, with the bytes that it could not parse. */
interface ParseError extends NodeJS.ErrnoException {
  rawPacket?: Buffer;
}

// The first byte of a client that expects TLS.
const TLS_HANDSHAKE = 0x16;

/** The status and the message for bytes that Node cannot parse as a request. */
function explain({ code, rawPacket }: ParseError): [number, string] {
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return [408, 'The request took too long to arrive.'];
  if (code === 'HPE_HEADER_OVERFLOW') return [431, 'The headers of the request are too large.'];
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return [413, 'The chunk extensions of the request are too large.'];
  if (code === 'HPE_INVALID_EOF_STATE') return [400, 'The request ended before it was whole.'];
  if (code === 'HPE_PAUSED_H2_UPGRADE')
    return [400, 'The request is HTTP/2, and this port speaks HTTP/1.1.'];
  if (rawPacket?.[0] === TLS_HANDSHAKE)
    return [400, 'The request is TLS, and this port speaks plain HTTP.'];
  return [400, 'The request is not valid HTTP.'];
}
