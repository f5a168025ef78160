import type { IncomingMessage } from 'node:http';
import type { Server } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { MaskError } from '../access/mask-error.ts';

/** What the hooks of graphql-ws are given of a socket. */
export interface SocketExtra {
  socket: WebSocket;
  request: IncomingMessage;
}

export interface SocketBounds {
  /** Bytes that may wait for a client to read them. */
  maxUnreadBytes: number;
  /** How long more than that may wait. */
  clientTimeoutMs: number;
  /** Messages, pings and pongs that a client may send in a second, over some time. */
  maxMessagesPerSecond: number;
  /** How many of them it may send at once. */
  messageBurst: number;
}

const KEEP_ALIVE_MS = 12_000;
const INTERNAL_ERROR = 4500;
const BAD_REQUEST = 4400;
const UNEXPECTED_TYPE = /^Unexpected message of type /;
/** RFC 6455's code for a client that breaks a rule of the server; clients of graphql-ws do not retry then. */
const POLICY_VIOLATION = 1008;
/** A close code of RFC 6455's registry, after which clients connect again. */
export const TRY_AGAIN_LATER = 1013;
// A client that must go is given so long to close the socket itself.
const CLOSE_WITHIN_MS = 1_000;
// Operations that are under way may still answer after the limit was reached; all together no more than this.
const MAX_UNREAD_FACTOR = 16;

/**
 * Connects a socket to graphql-ws, and ends it when the client does not answer a ping within 12 seconds, does not
 * read, or sends too many messages. The library's own adapter prints a stack to stderr for every invalid frame.
 */
export function serveSocket(
  socket: WebSocket,
  opened: Server<SocketExtra>['opened'],
  extra: SocketExtra,
  maskError: MaskError,
  bounds: SocketBounds,
): void {
  const { maxUnreadBytes, clientTimeoutMs, maxMessagesPerSecond, messageBurst } = bounds;
  let isAlive = true;
  let isEnding = false;
  let unread: NodeJS.Timeout | undefined;
  let allowance = messageBurst;
  let countedAt = performance.now();

  const keepAlive = setInterval(() => {
    // Nothing is read from it, not even a pong, while too much is unread; `unread` ends that.
    if (socket.isPaused) return undefined;
    if (!isAlive) return socket.terminate();
    isAlive = false;
    return socket.ping();
  }, KEEP_ALIVE_MS);
  socket.on('pong', () => {
    isAlive = true;
    accept();
  });
  socket.on('ping', (data: Buffer) => {
    if (accept()) void send(done => socket.pong(data, false, done));
  });
  // An invalid or oversized frame, or a broken connection: `ws` itself closes the socket with the right code.
  socket.on('error', () => {});

  const closed = opened(
    {
      protocol: socket.protocol,
      // Resolves once the data is written: graphql-ws then pulls the next result of the operation. An error means
      // that the client has disconnected; the `close` event follows.
      send: data => send(done => socket.send(data, done)),
      close: (code, reason) => end(code ?? INTERNAL_ERROR, reason),
      onMessage: receive =>
        socket.on('message', (data: Buffer) => {
          if (!accept()) return;
          // Not awaited: handling a subscribe message takes as long as its operation.
          void receive(data.toString()).catch((error: unknown) => {
            // graphql-ws closes the socket for a type that it does not know, and throws for one of the server's.
            if (error instanceof Error && UNEXPECTED_TYPE.test(error.message))
              return end(BAD_REQUEST, 'Invalid message');
            maskError(error);
            return end(INTERNAL_ERROR, 'Internal server error');
          });
        }),
    },
    extra,
  );
  socket.once('close', (code, reason) => {
    clearInterval(keepAlive);
    clearTimeout(unread);
    // It ends the operations of the socket.
    void closed(code, String(reason))?.catch(maskError);
  });

  /** Counts a message; false if it is not to be handled, because the socket is being ended. */
  function accept(): boolean {
    if (isEnding) return false;
    const now = performance.now();
    allowance += ((now - countedAt) / 1000) * maxMessagesPerSecond;
    allowance = Math.min(messageBurst, allowance) - 1;
    countedAt = now;
    if (allowance < 0) end(POLICY_VIOLATION, 'Too many messages');
    return !isEnding;
  }

  function send(write: (done: () => void) => void): Promise<void> {
    return new Promise(resolve => {
      write(() => {
        if (unread !== undefined && socket.bufferedAmount <= maxUnreadBytes) {
          clearTimeout(unread);
          unread = undefined;
          isAlive = true;
          socket.resume();
        }
        resolve();
      });
      if (socket.bufferedAmount > maxUnreadBytes * MAX_UNREAD_FACTOR) socket.terminate();
      else if (socket.bufferedAmount > maxUnreadBytes && unread === undefined) {
        // Whatever it sends now could only add to what it does not read.
        socket.pause();
        unread = setTimeout(() => end(TRY_AGAIN_LATER, 'Not read in time'), clientTimeoutMs);
      }
    });
  }

  function end(code: number, reason?: string): void {
    if (isEnding) return;
    isEnding = true;
    // Resumed, or the client's own close frame would never be read.
    socket.resume();
    socket.close(code, reason);
    setTimeout(() => socket.terminate(), CLOSE_WITHIN_MS).unref();
  }
}
