import type { IncomingMessage } from 'node:http';
import type { Server } from 'graphql-ws';
import type { WebSocket } from 'ws';
import type { MaskError } from '../access/mask-error.ts';
import type { RequestSpace } from '../access/request-space.ts';
import type { Drain } from './drain.ts';
import type { Message, MessageWriter } from './websocket-results.ts';

/** The `extra` of a graphql-ws context. */
export interface SocketExtra {
  socket: WebSocket;
  request: IncomingMessage;
  /** Reads the headers that the socket was opened with, once the client has connected. */
  header?: (name: string) => string | null;
  /** The running operations by id, once the client has connected. Null: no result yet, or a single one. */
  operations: Readonly<Record<string, unknown>>;
  /** Writes results of subscriptions. */
  writer: MessageWriter;
}

export interface SocketBounds {
  /** The maximum number of unread bytes. */
  maxUnreadBytes: number;
  /** How long more bytes than that may stay unread, in milliseconds. */
  clientTimeoutMs: number;
  /** The rate of messages, pings and pongs that a client may sustain. */
  maxMessagesPerSecond: number;
  /** How many of them it may send in one burst. */
  messageBurst: number;
  requestSpace: RequestSpace;
}

const KEEP_ALIVE_MS = 12_000;
const INTERNAL_ERROR = 4500;
const BAD_REQUEST = 4400;
const UNEXPECTED_TYPE = /^Unexpected message of type /;
/** The close code of RFC 6455 for a server that shuts down. Clients of graphql-ws reconnect after it. */
const GOING_AWAY = 1001;
/** The close code of RFC 6455 for a policy violation. Clients of graphql-ws do not reconnect after it. */
const POLICY_VIOLATION = 1008;
const MESSAGE_TOO_BIG = 1009;
/** A registered close code, after which clients reconnect. */
export const TRY_AGAIN_LATER = 1013;
// It carries headers, and has as much room as Node allows for those of a request. So has all that comes before it.
const MAX_INIT_BYTES = 16_384;
// While a socket is being closed: the client's answer, and what was on its way before it.
const MAX_LATE_BYTES = 16_384;
const FINAL_TEXT = 0x81;
/** Longer messages have another header, and gain nothing from being written as strings. */
const MAX_SHORT_MESSAGE = 16_384 - 4;
// A client has so long to complete the closing handshake before the socket is terminated.
const CLOSE_WITHIN_MS = 1_000;
// Running operations may still send results after the limit, up to this factor of it.
const MAX_UNREAD_FACTOR = 16;

/**
 * Connects a socket to graphql-ws. Closes it if the client does not answer a ping within 12 seconds,
 * does not read, or sends too many messages. The library's own adapter is not used, because it prints a
 * stack trace to stderr for each invalid frame.
 */
export function serveSocket(
  socket: WebSocket,
  opened: Server<SocketExtra>['opened'],
  opening: Omit<SocketExtra, 'writer'>,
  maskError: MaskError,
  drain: Drain,
  bounds: SocketBounds,
): void {
  const { maxUnreadBytes, clientTimeoutMs, maxMessagesPerSecond, messageBurst, requestSpace } =
    bounds;
  const extra: SocketExtra = { ...opening, writer: { write: writeMessage } };
  /** Bytes of messages that have not arrived whole. */
  const arriving = requestSpace.open();
  const stream = opening.request.socket;
  let isAlive = true;
  let isEnding = false;
  // The server shuts down: the socket is closed as soon as its queries and mutations are answered.
  let isLeaving = false;
  let bytesBeforeInit = 0;
  let lateBytes = 0;
  let unread: NodeJS.Timeout | undefined;
  let allowance = messageBurst;
  let countedAt = performance.now();

  const keepAlive = setInterval(() => {
    // While the socket is paused, pongs are not read either. The `unread` timer closes it in this case.
    if (socket.isPaused) return undefined;
    if (!isAlive) return socket.terminate();
    isAlive = false;
    return socket.ping();
  }, KEEP_ALIVE_MS);
  // Before `ws` reads them, so that they are counted before the message is complete.
  stream.prependListener('data', ({ length }: Buffer) => {
    if (isEnding || socket.readyState !== socket.OPEN) {
      lateBytes += length;
      if (lateBytes > MAX_LATE_BYTES) stopReading();
      return;
    }
    if (extra.header === undefined) bytesBeforeInit += length;
    if (bytesBeforeInit > MAX_INIT_BYTES) {
      end(MESSAGE_TOO_BIG, 'connection_init is too long');
      stopReading();
      return;
    }
    try {
      arriving.take(length);
    } catch {
      end(TRY_AGAIN_LATER, 'Too much is being sent');
    }
  });
  socket.on('pong', (data: Buffer) => {
    isAlive = true;
    arriving.giveBack(frameLengthOf(data));
    accept();
  });
  socket.on('ping', (data: Buffer) => {
    arriving.giveBack(frameLengthOf(data));
    if (accept()) void send(done => socket.pong(data, false, done));
  });
  // An invalid or oversized frame, or a broken connection: `ws` itself has closed the socket with the right code.
  socket.on('error', () => end(INTERNAL_ERROR));

  const closed = opened(
    {
      protocol: socket.protocol,
      // Resolves once the data is written: graphql-ws then pulls the next result of the operation. An
      // error means that the client has disconnected; the `close` event follows.
      send: data => send(done => socket.send(data, done)),
      close: (code, reason) => end(code ?? INTERNAL_ERROR, reason),
      onMessage: receive =>
        socket.on('message', (data: Buffer) => {
          arriving.giveBack(frameLengthOf(data));
          if (!accept()) return;
          if (isLeaving) setImmediate(leaveIfAnswered);
          // Not awaited: handling a subscribe message takes as long as its operation.
          void handle(data, receive).catch((error: unknown) => {
            // graphql-ws closes the socket on an unknown type, but throws on a type that only servers send.
            if (error instanceof Error && UNEXPECTED_TYPE.test(error.message))
              return end(BAD_REQUEST, 'Invalid message');
            maskError(error);
            return end(INTERNAL_ERROR, 'Internal server error');
          });
        }),
    },
    extra,
  );
  const remove = drain.add(() => {
    isLeaving = true;
    leaveIfAnswered();
  });
  socket.once('close', (code, reason) => {
    remove();
    clearInterval(keepAlive);
    clearTimeout(unread);
    arriving.close();
    // Ends all operations of the socket.
    void closed(code, String(reason))?.catch(maskError);
  });

  async function handle(data: Buffer, receive: (text: string) => Promise<void>): Promise<void> {
    const share = requestSpace.open();
    try {
      share.take(data.length);
    } catch {
      return end(TRY_AGAIN_LATER, 'Too much is being sent');
    }
    try {
      await receive(withQuery(data.toString()));
    } finally {
      share.close();
    }
  }

  /** Counts a message. False if it must not be handled, because the socket is being closed. */
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
        afterWritten();
        resolve();
      });
      afterWrite();
    });
  }

  function writeMessage({ text, isAscii }: Message, onWritten: () => void): boolean {
    // As one string, because it is a third of what `ws` needs for the same. `ws` keeps no messages back, so they
    // stay in order.
    if (!isAscii || text.length > MAX_SHORT_MESSAGE) socket.send(text);
    else if (socket.readyState === socket.OPEN)
      stream.write(`${headerOf(text.length)}${text}`, 'latin1');
    afterWrite();
    if (socket.bufferedAmount === 0) return true;
    stream.write('', () => {
      afterWritten();
      onWritten();
    });
    return false;
  }

  /** Limits how much is unread. */
  function afterWrite(): void {
    if (socket.bufferedAmount > maxUnreadBytes * MAX_UNREAD_FACTOR) socket.terminate();
    else if (socket.bufferedAmount > maxUnreadBytes && unread === undefined) {
      // Stop reading too: further operations would only add to the unread data.
      socket.pause();
      unread = setTimeout(() => end(TRY_AGAIN_LATER, 'Not read in time'), clientTimeoutMs);
    }
  }

  function afterWritten(): void {
    // graphql-ws removes an operation after its last message.
    if (isLeaving) setImmediate(leaveIfAnswered);
    if (unread !== undefined && socket.bufferedAmount <= maxUnreadBytes) {
      clearTimeout(unread);
      unread = undefined;
      isAlive = true;
      socket.resume();
    }
  }

  function leaveIfAnswered(): void {
    if (!Object.values(extra.operations).includes(null)) end(GOING_AWAY, 'Going away');
  }

  function end(code: number, reason?: string): void {
    if (isEnding) return;
    isEnding = true;
    // Resume, so that the client's close frame is read.
    socket.resume();
    socket.close(code, reason);
    setTimeout(() => socket.terminate(), CLOSE_WITHIN_MS).unref();
  }

  /** Leaves the rest in the buffers of the operating system, where it costs nothing; it makes the client wait. */
  function stopReading(): void {
    socket.pause();
    stream.end();
  }
}

/** graphql-ws closes the socket for an operation without `query`, such as one that names a persisted document. */
function withQuery(text: string): string {
  if (!/"(documentId|persistedQuery)"/.test(text)) return text;
  try {
    const message = JSON.parse(text) as { payload?: { query?: unknown } };
    if (typeof message.payload !== 'object' || message.payload === null) return text;
    message.payload.query ??= '';
    return JSON.stringify(message);
  } catch {
    // graphql-ws reports what is wrong with it.
    return text;
  }
}

/** As the client sent it: masked, and in one frame. */
function frameLengthOf({ length }: Buffer): number {
  return length + (length < 126 ? 6 : length < 65_536 ? 8 : 14);
}

/** The header of a text frame in RFC 6455, whose bytes are the characters of a string. */
function headerOf(length: number): string {
  return length < 126
    ? String.fromCharCode(FINAL_TEXT, length)
    : String.fromCharCode(FINAL_TEXT, 126, length >> 8, length & 0xff);
}
