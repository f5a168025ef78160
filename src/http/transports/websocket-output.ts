import type { Socket } from 'node:net';
import { WebSocket } from 'ws';
import { headerOf } from './websocket-frames.ts';
import type { MessageWriter } from './websocket-results.ts';

/** The bounds of what a client does not read. */
export interface UnreadBounds {
  /** The maximum number of unread bytes. */
  maxUnreadBytes: number;
  /** How long more bytes than that may stay unread, in milliseconds. */
  clientTimeoutMs: number;
}

/** The connection whose messages are written. */
export interface WritingConnection {
  /** The operating system has taken what was written. */
  written(): void;
  /** The client has read, after the socket was paused. */
  resumed(): void;
  /** The client has not read for too long. */
  notRead(): void;
}

/** Longer messages have another header, and gain nothing from being written as strings. */
const MAX_SHORT_MESSAGE = 16_384 - 4;
// Running operations may still send results after the limit, up to this factor of it.
const MAX_UNREAD_FACTOR = 16;

/** Writes to a socket, and limits how much its client leaves unread. */
export class SocketOutput implements MessageWriter {
  readonly #socket: WebSocket;
  readonly #stream: Socket;
  readonly #connection: WritingConnection;
  readonly #bounds: UnreadBounds;
  #unread: NodeJS.Timeout | undefined;

  constructor(
    socket: WebSocket,
    stream: Socket,
    connection: WritingConnection,
    bounds: UnreadBounds,
  ) {
    this.#socket = socket;
    this.#stream = stream;
    this.#connection = connection;
    this.#bounds = bounds;
  }

  write(text: string, isAscii: boolean, sink: { written(): void }): boolean {
    const socket = this.#socket;
    // As one string, because it is a third of what `ws` needs for the same. `ws` keeps no messages
    // back, so they stay in order.
    if (!isAscii || text.length > MAX_SHORT_MESSAGE) socket.send(text);
    else if (socket.readyState === WebSocket.OPEN)
      this.#stream.write(`${headerOf(text.length)}${text}`, 'latin1');
    if (socket.bufferedAmount === 0) return true;
    this.#afterWrite();
    this.#stream.write('', () => {
      this.#afterWritten();
      sink.written();
    });
    return false;
  }

  /** Calls `write` with a function that it calls when it is done. Resolves then. */
  send(write: (socket: WebSocket, done: () => void) => void): Promise<void> {
    return new Promise(resolve => {
      write(this.#socket, () => {
        this.#afterWritten();
        resolve();
      });
      this.#afterWrite();
    });
  }

  /**
   * Leaves the rest in the buffers of the operating system, where it costs nothing; it makes the
   * client wait.
   */
  stopReading(): void {
    this.#socket.pause();
    this.#stream.end();
  }

  close(): void {
    clearTimeout(this.#unread);
  }

  /** Limits how much is unread. */
  #afterWrite(): void {
    const socket = this.#socket;
    const { maxUnreadBytes, clientTimeoutMs } = this.#bounds;
    if (socket.bufferedAmount > maxUnreadBytes * MAX_UNREAD_FACTOR) socket.terminate();
    else if (socket.bufferedAmount > maxUnreadBytes && this.#unread === undefined) {
      // Stop reading too: further operations would only add to the unread data.
      socket.pause();
      this.#unread = setTimeout(() => this.#connection.notRead(), clientTimeoutMs);
    }
  }

  #afterWritten(): void {
    this.#connection.written();
    if (this.#unread === undefined) return;
    if (this.#socket.bufferedAmount > this.#bounds.maxUnreadBytes) return;
    clearTimeout(this.#unread);
    this.#unread = undefined;
    this.#connection.resumed();
    this.#socket.resume();
  }
}
