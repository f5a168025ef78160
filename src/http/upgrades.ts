import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { refusalOf, refuseRaw } from './access/connection-refusal.ts';
import type { ServeUpgrade } from './transports/websocket.ts';

// An Upgrade header, or `Upgrade` as an option of a Connection header.
const OFFER = /^(upgrade|http2-settings)$/i;

/**
 * Serves WebSockets. Any other protocol that a client offers (`h2c`) is ignored, as RFC 9110,
 * section 7.8 allows: the request is answered over HTTP/1.1. CONNECT is refused.
 */
export function serveUpgrades(server: Server, serveWebSocket: ServeUpgrade): void {
  // Node emits this event for every upgrade request, and no longer parses the connection as HTTP.
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() === 'websocket')
      return serveWebSocket(request, socket, head);
    socket.unshift(Buffer.concat([toBytes(request), head]));
    return server.emit('connection', socket);
  });
  server.on('connect', (_request: IncomingMessage, socket: Duplex) =>
    refuseRaw(socket, refusalOf(405, 'BAD_USER_INPUT', 'The gateway is not a proxy.')),
  );
}

/** The head of the request without the upgrade headers. */
function toBytes({ method, url, httpVersion, rawHeaders }: IncomingMessage): Buffer {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
    if (OFFER.test(name)) continue;
    lines.push(`${name}: ${/^connection$/i.test(name) ? withoutOffer(value) : value}`);
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

function withoutOffer(options: string): string {
  const others = options.split(',').filter(option => !OFFER.test(option.trim()));
  return others.length > 0 ? others.join(',') : 'keep-alive';
}
