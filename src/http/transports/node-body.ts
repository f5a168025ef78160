import type { IncomingMessage } from 'node:http';
import type { RequestShare } from '../access/request-space.ts';
import { endedEarly, refusalOfSpace, tooLarge } from './http-request.ts';

const JSON_BODY = /^application\/json\s*(;\s*charset\s*=\s*"?utf-?8"?\s*)?$/i;

/** Whether a request is a POST of JSON as it is, whose operation is nowhere but in the body. */
export function isPlainPost({ method, url, headers }: IncomingMessage): boolean {
  return (
    method === 'POST' &&
    url?.includes('?') === false &&
    JSON_BODY.test(headers['content-type'] ?? '') &&
    headers['content-encoding'] === undefined
  );
}

/** Rejects with a refusal for a body that is too large or ends early. */
export function readBody(
  request: IncomingMessage,
  maxBytes: number,
  share: RequestShare,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    // The rest is read and dropped: if the connection were reset, the client would not get the
    // refusal. The time limit of the request ends this.
    const refuse = (error: Error) => {
      request.removeAllListeners('data').resume();
      reject(error);
    };
    if (Number(request.headers['content-length'] ?? 0) > maxBytes)
      return refuse(tooLarge(maxBytes));
    const add = (chunk: Buffer) => {
      bytes += chunk.length;
      const refused = bytes > maxBytes ? tooLarge(maxBytes) : refusalOfSpace(share, chunk.length);
      if (refused === null) chunks.push(chunk);
      else refuse(refused);
    };
    request.on('data', add);
    const endEarly = () => reject(endedEarly());
    request.once('end', () => {
      // Every request emits `close`, but making an error takes longer than reading a body. A stream
      // would keep what was read for as long as the request.
      request.off('close', endEarly).off('error', endEarly).off('data', add).on('error', ignore);
      resolve(Buffer.concat(chunks));
    });
    request.once('error', endEarly);
    request.once('close', endEarly);
  });
}

function ignore(): void {}
