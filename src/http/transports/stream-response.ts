import type { Readable } from 'node:stream';
import { STREAM_HEADERS } from './stream-framing.ts';

/** A streaming response. */
export function streamResponse(
  stream: Readable,
  contentType: string,
  ResponseType: typeof Response,
): Response {
  // Yoga's server accepts a Node stream as a body and sends it with less overhead; its types do not
  // include that.
  return new ResponseType(stream as unknown as ReadableStream, {
    headers: { 'content-type': contentType, ...STREAM_HEADERS },
  });
}
