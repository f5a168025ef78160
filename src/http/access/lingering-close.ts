import type { Duplex } from 'node:stream';

const LINGER_MS = 1_000;

/**
 * Ends a connection, and discards what the client still sends, for a second at most. A connection
 * that is closed with unread data is reset, and the client can lose the answer that it was just
 * sent.
 */
export function lingerAndClose(socket: Duplex): void {
  socket.end();
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(timer));
}
