import { Readable } from 'node:stream';
import { STREAM_HEADERS } from './stream-framing.ts';

/** A streaming response. */
export function streamResponse(
  stream: Readable | ReadableStream,
  contentType: string,
  ResponseType: typeof Response,
): Response {
  // Yoga's own Response accepts a Node stream as a body and sends it with less overhead; its types
  // do not include that. Node's does too, but crashes the process when the client disconnects.
  const body =
    stream instanceof Readable && isNative(ResponseType) ? Readable.toWeb(stream) : stream;
  return new ResponseType(body as ReadableStream, {
    headers: { 'content-type': contentType, ...STREAM_HEADERS },
  });
}

/** Whether Yoga uses the Fetch API of Node instead of its own, as it does in Next.js. */
export function isNative(ResponseType: typeof Response): boolean {
  return ResponseType === globalThis.Response;
}
