import type { Readable } from 'node:stream';

/** A response that goes on: nothing on the way is to gather, compress or keep it. */
export function streamResponse(
  stream: Readable,
  contentType: string,
  ResponseType: typeof Response,
): Response {
  // Yoga's own server takes a stream of Node's as a body, and sends it with one layer less; the types do not tell.
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
