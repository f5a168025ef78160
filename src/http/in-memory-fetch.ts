import { type OutgoingHttpHeaders, type Server, request as sendRequest } from 'node:http';
import { Readable, duplexPair } from 'node:stream';

/** What a `Request` does not say about its client. */
export interface FetchOptions {
  /**
   * The IP address of the peer that sent the request; limits per address count by it. If it is a
   * trusted proxy, `X-Forwarded-For` is read. Default: `127.0.0.1`.
   */
  clientAddress?: string;
}

/**
 * Answers a request. Rejects with the reason of the request's signal if that aborts, as `fetch`
 * does. To end a stream, abort the signal or cancel the body of the response.
 */
export type GatewayFetch = (request: Request, options?: FetchOptions) => Promise<Response>;

const LOOPBACK = '127.0.0.1';
// Headers of one connection. The length is left to the body, which arrives in chunks.
const HOP_BY_HOP = [
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];
// Statuses whose responses have no body.
const EMPTY = new Set([204, 205, 304]);

/**
 * Sends requests to a server over connections in memory, so that they meet the same limits as
 * requests over the network.
 */
export function createFetch(server: Server): GatewayFetch {
  return (request, { clientAddress = LOOPBACK } = {}) =>
    new Promise((resolve, reject) => {
      request.signal.throwIfAborted();
      const { method, body, signal } = request;
      const { pathname, search, host } = new URL(request.url);
      const outgoing = sendRequest({
        createConnection: () => connect(server, clientAddress),
        method,
        path: pathname + search,
        headers: { host, ...toOutgoing(request.headers) },
      });
      const abort = () => outgoing.destroy(signal.reason as Error);
      signal.addEventListener('abort', abort, { once: true });
      outgoing.once('close', () => signal.removeEventListener('abort', abort));
      outgoing.once('response', incoming => {
        const { statusCode: status = 500, statusMessage: statusText = '', rawHeaders } = incoming;
        const init = { status, statusText, headers: toHeaders(rawHeaders) };
        if (method === 'HEAD' || EMPTY.has(status)) {
          incoming.resume();
          return resolve(new Response(null, init));
        }
        const stream = Readable.toWeb(incoming) as ReadableStream<Uint8Array>;
        return resolve(new Response(stream, init));
      });
      // After the response has begun, its body reports the error.
      outgoing.on('error', reject);
      if (body === null) return void outgoing.end();
      const upload = Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]);
      upload.once('error', error => outgoing.destroy(error));
      outgoing.once('close', () => upload.destroy());
      upload.pipe(outgoing);
    });
}

/** Opens a connection, and returns the client's side of it. */
function connect(server: Server, remoteAddress: string) {
  const [ours, theirs] = duplexPair();
  // Neither side of a pair notices that the other was destroyed.
  ours.once('close', () => theirs.destroy());
  theirs.once('close', () => {
    // What the server wrote before it ended the connection is still to be read.
    if (!theirs.writableFinished) ours.destroy();
  });
  server.emit('connection', Object.assign(theirs, { remoteAddress }));
  return ours;
}

function toOutgoing(headers: Headers): OutgoingHttpHeaders {
  const outgoing = Object.fromEntries(headers);
  for (const name of HOP_BY_HOP) delete outgoing[name];
  return outgoing;
}

function toHeaders(rawHeaders: readonly string[]): Headers {
  const headers = new Headers();
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name = '', value = ''] = rawHeaders.slice(at, at + 2);
    if (!HOP_BY_HOP.includes(name.toLowerCase()) || /^content-length$/i.test(name))
      headers.append(name, value);
  }
  return headers;
}
