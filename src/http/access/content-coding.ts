import { promisify } from 'node:util';
import { brotliCompress, brotliCompressSync, constants, gzip, gzipSync } from 'node:zlib';

/** How a body is compressed. */
export type ContentCoding = 'br' | 'gzip';

// As fast as gzip, and smaller.
const BROTLI = { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } };
const brotli = promisify(brotliCompress);
const COMPRESS: Record<ContentCoding, (body: Buffer) => Promise<Buffer>> = {
  br: body => brotli(body, BROTLI),
  gzip: promisify<Buffer, Buffer>(gzip),
};
const COMPRESS_AT_ONCE: Record<ContentCoding, (body: Buffer) => Buffer> = {
  br: body => brotliCompressSync(body, BROTLI),
  gzip: body => gzipSync(body),
};
// Up to this size, compressing takes less than a millisecond, and handing it to another thread
// takes longer.
const LARGEST_AT_ONCE_BYTES = 131_072;
// Smaller bodies fit into one packet anyway.
const LEAST_BYTES = 1_024;
const LONG_BYTES = 16_384;

/**
 * The coding for a client that sent this `Accept-Encoding` header; null if it accepts none of ours.
 */
export function contentCodingFor(acceptEncoding: string): ContentCoding | null {
  const weights = new Map(
    acceptEncoding
      .toLowerCase()
      .split(',')
      .map(coding => {
        const [name = '', ...parameters] = coding.split(';').map(part => part.trim());
        const weight = parameters.find(parameter => /^q\s*=/.test(parameter))?.split('=')[1];
        return [name, weight === undefined ? 1 : Number(weight) || 0];
      }),
  );
  const weightOf = (coding: string) => weights.get(coding) ?? weights.get('*') ?? 0;
  const best = weightOf('br') >= weightOf('gzip') ? 'br' : 'gzip';
  return weightOf(best) > 0 ? best : null;
}

/** Compresses a body; a large one on another thread. */
export async function compress(body: Buffer, coding: ContentCoding): Promise<Buffer> {
  if (body.length <= LARGEST_AT_ONCE_BYTES) return COMPRESS_AT_ONCE[coding](body);
  return COMPRESS[coding](body);
}

/**
 * The body as a client with this `Accept-Encoding` header gets it: compressed if it has 1 kB or
 * more and the client accepts that; otherwise as it is. `headers` describe it.
 */
export async function encodeBody(
  body: string | Buffer,
  acceptEncoding: string,
  compressBody: typeof compress = compress,
): Promise<EncodedBody> {
  // Node would copy a long string together with the headers, then encode both.
  const plain = body.length < LONG_BYTES ? body : toBuffer(body);
  const bytes = Buffer.byteLength(plain);
  const coding = bytes < LEAST_BYTES ? null : contentCodingFor(acceptEncoding);
  if (coding === null) return { body: plain, headers: { 'content-length': String(bytes) } };
  const encoded = await compressBody(toBuffer(plain), coding);
  return {
    body: encoded,
    headers: { 'content-length': String(encoded.length), 'content-encoding': coding },
  };
}

function toBuffer(body: string | Buffer): Buffer {
  return typeof body === 'string' ? Buffer.from(body) : body;
}

export interface EncodedBody {
  body: string | Buffer;
  headers: Record<string, string>;
}
