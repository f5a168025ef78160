import type { IncomingMessage } from 'node:http';
import type { Server } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { MaskError } from '../access/mask-error.ts';

/** What the hooks of graphql-ws are given of a socket. */
export interface SocketExtra {
  socket: WebSocket;
  request: IncomingMessage;
}

const KEEP_ALIVE_MS = 12_000;
const INTERNAL_ERROR = 4500;

/**
 * Connects a socket to graphql-ws, and terminates it when a ping is not answered within 12 seconds. The library's
 * own adapter prints a stack to stderr for every invalid frame that a client sends.
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
  // An invalid or oversized frame, or a broken connection: `ws` itself closes the socket with the right code.
  socket.on('error', () => {});

  const closed = opened(
    {
      protocol: socket.protocol,
      // Resolves once the data is written: graphql-ws then pulls the next result of the operation. An error means
      // that the client has disconnected; the `close` event follows.
      send: data => new Promise(resolve => socket.send(data, () => resolve())),
      close: (code, reason) => socket.close(code, reason),
      onMessage: receive =>
        socket.on('message', (data: Buffer) => {
          // Not awaited: handling a subscribe message takes as long as its operation.
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
    // It ends the operations of the socket.
    void closed(code, String(reason))?.catch(maskError);
  });
}
