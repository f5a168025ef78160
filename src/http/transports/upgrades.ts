import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { refusalOf, refuseRaw } from '../access/connection-refusal.ts';

type OnUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/**
 * Gives offers to upgrade to WebSocket at `path` to `upgrade`, and passes over others, such as that of HTTP/2 that Java
 * sends with each request. What is refused has a code.
 */
export function serveUpgrades(server: Server, path: string, upgrade: OnUpgrade): void {
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (request.headers.upgrade?.toLowerCase() !== 'websocket')
      return passOver(server, request, socket, head);
    if (request.url?.split('?', 1)[0] !== path)
      return refuseRaw(socket, refusalOf(404, 'NOT_FOUND', `WebSockets are served at ${path}.`));
    return upgrade(request, socket, head);
  });
  server.on('connect', (_request: IncomingMessage, socket: Duplex) =>
    refuseRaw(socket, refusalOf(405, 'BAD_USER_INPUT', 'The gateway is no proxy.')),
  );
}

/** Node hands every offer over once there is a listener; so the request is read again, without it. */
function passOver(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { method, url, httpVersion, rawHeaders } = request;
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
    if (/^(upgrade|http2-settings)$/i.test(name)) continue;
    lines.push(`${name}: ${/^connection$/i.test(name) ? withoutOffer(value) : value}`);
  }
  socket.unshift(Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head]));
  server.emit('connection', socket);
}

function withoutOffer(connection: string): string {
  const options = connection.split(',').map(option => option.trim());
  return options.filter(option => !/^(upgrade|http2-settings)$/i.test(option)).join(', ');
}
