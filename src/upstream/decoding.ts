import { promisify } from 'node:util';
import { brotliDecompress, gunzip, inflate, inflateRaw } from 'node:zlib';

/** A body that is larger than allowed, or encoded in a way that is not understood. */
export class BodyLimitError extends Error {
  override readonly name = 'BodyLimitError';
}

// More than this are no encoding but a way to keep the gateway busy.
const MAX_ENCODINGS = 3;
const DECODERS = {
  gzip: promisify(gunzip),
  br: promisify(brotliDecompress),
  zlib: promisify(inflate),
  raw: promisify(inflateRaw),
};

/**
 * The whole of a body, as it is received; reading ends, and with it the connection, at the bound, or when
 * `onBytes`, which is called with the length of each part, throws.
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
 * Undoes the encodings that a Content-Encoding header names, the last first, whether they were asked
 * for or not. Throws BodyLimitError where that is more than `maxBytes`: decoding ends at the bound.
 */
export async function decode(body: Buffer, encodings: string, maxBytes: number): Promise<Buffer> {
  const names = encodings
    .split(',')
    .map(name => name.trim().toLowerCase())
    .filter(name => name !== '' && name !== 'identity');
  if (names.length > MAX_ENCODINGS)
    throw new BodyLimitError(`Upstream encoded its answer ${names.length} times.`);
  let decoded = body;
  // Answers without a body keep the header that they would have had with one.
  for (const name of body.length === 0 ? [] : names.toReversed())
    decoded = await decodeOnce(decoded, name, maxBytes);
  return decoded;
}

async function decodeOnce(body: Buffer, name: string, maxBytes: number): Promise<Buffer> {
  const decoder = decoderOf(body, name);
  if (decoder === null)
    throw new BodyLimitError('Upstream encoded its answer in a way that was not asked for.');
  try {
    return await decoder(body, { maxOutputLength: maxBytes });
  } catch (error) {
    if ((error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(maxBytes);
    throw error;
  }
}

function decoderOf(body: Buffer, name: string) {
  if (name === 'gzip' || name === 'x-gzip') return DECODERS.gzip;
  if (name === 'br') return DECODERS.br;
  if (name !== 'deflate') return null;
  // Named for zlib's format; some servers send what is inside it. Zlib's first byte ends in 8.
  return ((body[0] ?? 0) & 0x0f) === 8 ? DECODERS.zlib : DECODERS.raw;
}

function tooLarge(maxBytes: number): BodyLimitError {
  return new BodyLimitError(`Upstream's answer is larger than ${maxBytes} bytes, decoded.`);
}
