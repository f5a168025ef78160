import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, inflateRaw } from 'node:zlib';

/** A body is too large, or has an unknown encoding. */
export class BodyLimitError extends Error {
  override readonly name = 'BodyLimitError';
}

// More encodings have no legitimate use and would only cost CPU.
const MAX_ENCODINGS = 3;
// The first byte of a gzip body.
const GZIP = 0x1f;
const MIN_CHUNK = 16_384;
const MAX_DEFLATE_RATIO = 1_032;
const DECODERS = {
  gzip: promisify(gunzip),
  br: promisify(brotliDecompress),
  zlib: promisify(inflate),
  raw: promisify(inflateRaw),
};

/**
 * Reads a whole body without decoding it. Above `maxBytes`, or when `onBytes` throws, it stops and
 * the connection is closed. `onBytes` is called with the length of each chunk.
 */
export async function readBody(
  stream: AsyncIterable<Buffer>,
  maxBytes: number,
  onBytes: (count: number) => void,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge(maxBytes);
    onBytes(chunk.length);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, bytes);
}

/**
 * Decodes a body with the encodings of its Content-Encoding header, last first. Throws
 * BodyLimitError, and stops decoding, above `maxBytes`.
 */
export async function decode(body: Buffer, encodings: string, maxBytes: number): Promise<Buffer> {
  const names = encodings
    .split(',')
    .map(name => name.trim().toLowerCase())
    .filter(name => name !== '' && name !== 'identity');
  if (names.length > MAX_ENCODINGS)
    throw new BodyLimitError(`Upstream encoded its answer ${names.length} times.`);
  let decoded = body;
  // An answer without a body may still have the header.
  for (const name of body.length === 0 ? [] : names.toReversed())
    decoded = await decodeOnce(decoded, name, maxBytes);
  return decoded;
}

async function decodeOnce(body: Buffer, name: string, maxBytes: number): Promise<Buffer> {
  const decoder = decoderOf(body, name);
  if (decoder === null)
    throw new BodyLimitError(
      'Upstream encoded its answer with an encoding that the gateway does not accept.',
    );
  try {
    return await decoder(body, {
      maxOutputLength: maxBytes,
      chunkSize: chunkSizeOf(body, maxBytes),
    });
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
    throw error;
  }
}

function decoderOf(body: Buffer, name: string) {
  if (name === 'gzip' || name === 'x-gzip') return DECODERS.gzip;
  if (name === 'br') return DECODERS.br;
  if (name !== 'deflate') return null;
  // `deflate` is the zlib format, but some servers send raw deflate. The low bits of zlib's first
  // byte are 8.
  return ((body[0] ?? 0) & 0x0f) === 8 ? DECODERS.zlib : DECODERS.raw;
}

/**
 * How much to decode at once: as much as a gzip body says at its end that it holds, so that it is
 * decoded into one buffer. Many small ones, joined at the end, take twice the memory, and polls of
 * large lists then cause collections that cost more than the rest of the poll. Of other bodies, and
 * ones that state a wrong size, more or less is decoded at once.
 */
function chunkSizeOf(body: Buffer, maxBytes: number): number {
  const stated = body[0] !== GZIP || body.length < 4 ? 0 : body.readUInt32LE(body.length - 4);
  const most = Math.min(maxBytes, body.length * MAX_DEFLATE_RATIO);
  // A buffer that is filled exactly is followed by another of its size.
  return Math.max(MIN_CHUNK, Math.min(stated, most) + 64);
}

function tooLarge(maxBytes: number): BodyLimitError {
  return new BodyLimitError(`Upstream's answer is larger than ${maxBytes} bytes, decoded.`);
}
