import type { Readable } from 'node:stream';

/** A streaming response, with headers that keep proxies from buffering, compressing or caching it. */
export function streamResponse(
  stream: Readable,
  contentType: string,
  ResponseType: typeof Response,
): Response {
  // Yoga's server accepts a Node stream as a body and sends it with less overhead; its types do not
  // include that.
  return new ResponseType(stream as unknown as ReadableStream, {
    headers: {
      'content-type': contentType,
      'cache-control': 'no-store',
      connection: 'keep-alive',
      'content-encoding': 'none',
      'x-accel-buffering': 'no',
    },
  });
}
