import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { GatewayFetch } from './in-memory-fetch.ts';

/** Serves requests of its own port, once it listens, and of an application that embeds it. */
export interface HttpServer {
  fetch: GatewayFetch;
  /** Answers a request of Node's HTTP server. */
  handle(request: IncomingMessage, response: ServerResponse): void;
  /**
   * Takes over a connection with a WebSocket upgrade request. `head` holds the first bytes after
   * the request.
   */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Starts listening, and resolves to the URL of the GraphQL endpoint. */
  listen(host: string, port: number): Promise<string>;
  /** Answers what is under way, and ends all streams. Later requests are answered with 503. */
  close(): Promise<void>;
}
