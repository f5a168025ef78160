import type { IncomingMessage } from 'node:http';
import type { Server } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { MaskError } from './mask.ts';

/** What the hooks of graphql-ws are given of a socket. */
export interface SocketExtra {
  socket: WebSocket;
  request: IncomingMessage;
}

const KEEP_ALIVE_MS = 12_000;
const INTERNAL_ERROR = 4500;

/**
 * Connects one socket to graphql-ws, and ends it when it answers no ping for 12 seconds. The library's own
 * adapter prints a stack to stderr for each frame that a client gets wrong.
 */
export function serveSocket(
  socket: WebSocket,
  opened: Server<SocketExtra>['opened'],
  extra: SocketExtra,
  maskError: MaskError,
): void {
  let isAlive = true;
  const keepAlive = setInterval(() => {
    if (!isAlive) return socket.terminate();
    isAlive = false;
    return socket.ping();
  }, KEEP_ALIVE_MS);
  socket.on('pong', () => (isAlive = true));
  // A frame that is wrong or too long, or a connection that broke: `ws` closes the socket, with a code that says so.
  socket.on('error', () => {});

  const closed = opened(
    {
      protocol: socket.protocol,
      // Resolves once it is written: graphql-ws asks for the next result of an operation after that. If the
      // client has disconnected, `close` follows, and nobody is left to be told.
      send: data => new Promise(resolve => socket.send(data, () => resolve())),
      close: (code, reason) => socket.close(code, reason),
      onMessage: receive =>
        socket.on('message', (data: Buffer) => {
          // Handled one beside the other: an operation is a message that is handled until it completes.
          void receive(data.toString()).catch((error: unknown) => {
            maskError(error);
            socket.close(INTERNAL_ERROR, 'Internal server error');
          });
        }),
    },
    extra,
  );
  socket.once('close', (code, reason) => {
    clearInterval(keepAlive);
    void closed(code, String(reason));
  });
}
