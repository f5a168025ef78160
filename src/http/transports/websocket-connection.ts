import { setMaxListeners } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { ExecutionResult } from 'graphql';
import type { Context, Server, WebSocket as Adapter } from 'graphql-ws';
import { WebSocket } from 'ws';
import type { MaskError } from '../access/mask-error.ts';
import type { ByteShare } from '../../byte-space.ts';
import type { RequestSpace } from '../access/request-space.ts';
import type { LeavingClient } from '../operations/operation-context.ts';
import type { Drain, Interruptible } from './drain.ts';
import type { Beating, Heartbeats } from './heartbeats.ts';
import { MessageAllowance, type MessageRate } from './websocket-allowance.ts';
import {
  BAD_REQUEST,
  GOING_AWAY,
  INTERNAL_ERROR,
  MESSAGE_TOO_BIG,
  POLICY_VIOLATION,
  TRY_AGAIN_LATER,
} from './websocket-codes.ts';
import type { ConnectedSocket, SocketEvents } from './websocket-events.ts';
import { frameLengthOf, withQuery } from './websocket-frames.ts';
import { NO_HEADERS, type ReadHeader } from './websocket-headers.ts';
import { type StartingOperation, isStarting } from './websocket-operations.ts';
import { SocketOutput, type UnreadBounds, type WritingConnection } from './websocket-output.ts';
import type { OperationConnection } from './websocket-results.ts';

export interface SocketBounds extends UnreadBounds, MessageRate {
  requestSpace: RequestSpace;
}

/** What all connections of a server share. */
export interface SocketParts extends SocketBounds {
  maskError: MaskError;
  drain: Drain;
  /** Pings each connection. */
  keepAlive: Heartbeats;
  /**
   * Starts an operation that graphql-ws need not start, and resolves to true, or to false if
   * graphql-ws is to start it. Null for any other message.
   */
  start(connection: SocketConnection, text: string): Promise<boolean> | null;
}

const UNEXPECTED_TYPE = /^Unexpected message of type /;
// `connection_init` carries headers: it and all that comes before it have the room that Node allows
// for those of a request.
const MAX_INIT_BYTES = 16_384;
// While a socket is being closed: the client's answer, and what was on its way before it.
const MAX_LATE_BYTES = 16_384;
// A client has so long to complete the closing handshake before the socket is terminated.
const CLOSE_WITHIN_MS = 1_000;

/**
 * Connects a socket to graphql-ws, as the `extra` of its context. Closes it if the client does not
 * answer a ping within 12 seconds, does not read, or sends too many messages. The library's own
 * adapter is not used, because it prints a stack trace to stderr for each invalid frame.
 *
 * A class whose functions are shared: most connections are idle, and what each holds is multiplied
 * by thousands.
 */
export class SocketConnection
  implements
    Adapter,
    OperationConnection,
    WritingConnection,
    SocketEvents,
    Beating,
    Interruptible,
    LeavingClient
{
  readonly socket: ConnectedSocket;
  /** The address of the client. */
  readonly address: string;
  readonly output: SocketOutput;
  /** Reads the headers that the socket was opened with, once the client has connected. */
  header: ReadHeader = NO_HEADERS;
  /** Once the client has connected. */
  context: Pick<Context, 'acknowledged' | 'subscriptions'> | null = null;
  /** Those of the upgrade request, until the client has connected. */
  #headers: IncomingHttpHeaders;
  readonly #parts: SocketParts;
  /** Bytes of messages that have not arrived whole. */
  readonly #arriving: ByteShare;
  readonly #closed: ReturnType<Server<SocketConnection>['opened']>;
  #receive: ((text: string) => Promise<void>) | null = null;
  #controller: AbortController | null = null;
  #isAlive = true;
  #isEnding = false;
  /**
   * The server shuts down: the socket is closed as soon as its queries and mutations are answered.
   */
  #isLeaving = false;
  #bytesBeforeInit = 0;
  #lateBytes = 0;
  readonly #allowance: MessageAllowance;

  constructor(
    socket: ConnectedSocket,
    request: IncomingMessage,
    address: string,
    opened: Server<SocketConnection>['opened'],
    parts: SocketParts,
  ) {
    this.socket = socket;
    this.#headers = request.headers;
    this.address = address;
    this.#parts = parts;
    this.output = new SocketOutput(socket, request.socket, this, parts);
    this.#arriving = parts.requestSpace.open();
    this.#allowance = new MessageAllowance(parts);
    parts.keepAlive.add(this);
    // Before `ws` reads them, so that they are counted before the message is complete.
    request.socket.prependListener('data', (chunk: Buffer) => this.#arrive(chunk));
    socket.listen(this);
    this.#closed = opened(this, this);
    parts.drain.add(this);
  }

  /** The client has connected. Returns the headers of its upgrade request, which are not kept. */
  connect(context: Pick<Context, 'acknowledged' | 'subscriptions'>): IncomingHttpHeaders {
    const headers = this.#headers;
    this.#headers = {};
    this.context = context;
    return headers;
  }

  get protocol(): string {
    return this.socket.protocol;
  }

  /**
   * Resolves once the data is written: graphql-ws then pulls the next result of the operation. An
   * error means that the client has disconnected; the `close` event follows.
   */
  send(data: string): Promise<void> {
    return this.output.send((socket, done) => socket.send(data, done));
  }

  close(code = INTERNAL_ERROR, reason?: string): void {
    this.#end(code, reason);
  }

  onMessage(receive: (text: string) => Promise<void>): void {
    this.#receive = receive;
  }

  /** Pings the client. */
  beat(): void {
    // While the socket is paused, pongs are not read either. The `unread` timer closes it in this
    // case.
    if (this.socket.isPaused) return;
    if (!this.#isAlive) return this.socket.terminate();
    this.#isAlive = false;
    this.socket.ping();
  }

  interrupt(): void {
    this.#isLeaving = true;
    this.#leaveIfAnswered();
  }

  /** Aborts when the socket closes. Its operations share it. */
  signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      // Every running operation adds a listener, so many listeners are not a leak.
      setMaxListeners(0, this.#controller.signal);
      if (this.socket.readyState === WebSocket.CLOSED) this.#controller.abort();
    }
    return this.#controller.signal;
  }

  /** Sends the only result of an operation. */
  answer(operation: StartingOperation, result: ExecutionResult): void {
    void this.send(JSON.stringify({ id: operation.id, type: 'next', payload: result }));
    this.complete(operation.id, operation);
  }

  /** The results of the operation have ended. */
  complete(id: string, results: object): void {
    const subscriptions = this.context?.subscriptions as Record<string, unknown> | undefined;
    if (subscriptions?.[id] !== results) return;
    delete subscriptions[id];
    void this.send(JSON.stringify({ id, type: 'complete' }));
  }

  /** An operation has a result, or a stream of them. */
  started(): void {
    this.#leaveSoon();
  }

  written(): void {
    this.#leaveSoon();
  }

  resumed(): void {
    this.#isAlive = true;
  }

  notRead(): void {
    this.#end(TRY_AGAIN_LATER, 'Not read in time');
  }

  pinged(data: Buffer): void {
    this.#arriving.giveBack(frameLengthOf(data));
    if (this.#accept()) void this.output.send((socket, done) => socket.pong(data, false, done));
  }

  ponged(data: Buffer): void {
    this.#isAlive = true;
    this.#arriving.giveBack(frameLengthOf(data));
    this.#accept();
  }

  received(data: Buffer): void {
    this.#arriving.giveBack(frameLengthOf(data));
    if (!this.#accept()) return;
    this.#leaveSoon();
    // Not awaited: handling a subscribe message takes as long as its operation.
    void this.#handle(data).catch((error: unknown) => {
      // graphql-ws closes the socket on an unknown type, but throws on a type that only servers
      // send.
      if (error instanceof Error && UNEXPECTED_TYPE.test(error.message))
        return this.#end(BAD_REQUEST, 'Invalid message');
      this.#parts.maskError(error);
      return this.#end(INTERNAL_ERROR, 'Internal server error');
    });
  }

  closed(code: number, reason: Buffer): void {
    const { drain, keepAlive, maskError } = this.#parts;
    drain.remove(this);
    keepAlive.delete(this);
    this.output.close();
    this.#arriving.close();
    this.#controller?.abort();
    // Ends all operations of the socket.
    void this.#closed(code, String(reason))?.catch(maskError);
  }

  failed(): void {
    // `ws` itself has closed the socket with the right code.
    this.#end(INTERNAL_ERROR);
  }

  #arrive({ length }: Buffer): void {
    if (this.#isEnding || this.socket.readyState !== WebSocket.OPEN) {
      this.#lateBytes += length;
      if (this.#lateBytes > MAX_LATE_BYTES) this.output.stopReading();
      return;
    }
    if (this.context === null) this.#bytesBeforeInit += length;
    if (this.#bytesBeforeInit > MAX_INIT_BYTES) {
      this.#end(MESSAGE_TOO_BIG, 'connection_init is too long');
      this.output.stopReading();
      return;
    }
    try {
      this.#arriving.take(length);
    } catch {
      this.#end(TRY_AGAIN_LATER, 'Too much is being sent');
    }
  }

  async #handle(data: Buffer): Promise<void> {
    const share = this.#parts.requestSpace.open();
    try {
      share.take(data.length);
    } catch {
      return this.#end(TRY_AGAIN_LATER, 'Too much is being sent');
    }
    try {
      const text = data.toString();
      const starting = this.#parts.start(this, text);
      // Not later for other messages: `complete` frees an id that the next message may use.
      if (starting === null || !(await starting)) await this.#receive?.(withQuery(text));
    } finally {
      share.close();
    }
  }

  /** Counts a message. False if it must not be handled, because the socket is being closed. */
  #accept(): boolean {
    if (this.#isEnding) return false;
    if (!this.#allowance.take()) this.#end(POLICY_VIOLATION, 'Too many messages');
    return !this.#isEnding;
  }

  #leaveSoon(): void {
    // graphql-ws adds the stream of an operation, or removes the operation, a moment after it has
    // called back.
    if (this.#isLeaving) setImmediate(() => this.#leaveIfAnswered());
  }

  #leaveIfAnswered(): void {
    if (!Object.values(this.context?.subscriptions ?? {}).some(isStarting))
      this.#end(GOING_AWAY, 'Going away');
  }

  #end(code: number, reason?: string): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    // Resume, so that the client's close frame is read.
    this.socket.resume();
    this.socket.close(code, reason);
    setTimeout(() => this.socket.terminate(), CLOSE_WITHIN_MS).unref();
  }
}
