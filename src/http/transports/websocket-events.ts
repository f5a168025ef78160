import { WebSocket } from 'ws';

/** Receives the events of a socket. */
export interface SocketEvents {
  pinged(data: Buffer): void;
  ponged(data: Buffer): void;
  received(data: Buffer): void;
  /** The client sent an invalid or oversized frame, or the connection broke. */
  failed(): void;
  closed(code: number, reason: Buffer): void;
}

/**
 * A WebSocket that knows who receives its events, so that its listeners need no functions of their
 * own.
 */
export class ConnectedSocket extends WebSocket {
  events: SocketEvents | null = null;

  listen(events: SocketEvents): void {
    this.events = events;
    this.on('pong', onPong);
    this.on('ping', onPing);
    this.on('message', onMessage);
    this.on('error', onError);
    this.on('close', onClose);
  }
}

function onPing(this: WebSocket, data: Buffer): void {
  (this as ConnectedSocket).events?.pinged(data);
}

function onPong(this: WebSocket, data: Buffer): void {
  (this as ConnectedSocket).events?.ponged(data);
}

function onMessage(this: WebSocket, data: Buffer): void {
  (this as ConnectedSocket).events?.received(data);
}

function onClose(this: WebSocket, code: number, reason: Buffer): void {
  (this as ConnectedSocket).events?.closed(code, reason);
}

function onError(this: WebSocket): void {
  (this as ConnectedSocket).events?.failed();
}
