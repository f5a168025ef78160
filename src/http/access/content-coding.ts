import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

/** How a body is compressed. */
export type ContentCoding = 'br' | 'gzip';

const COMPRESS: Record<ContentCoding, (body: Buffer) => Promise<Buffer>> = {
  // As fast as gzip, and smaller.
  br: body => brotli(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
  gzip: promisify<Buffer, Buffer>(gzip),
};
const brotli = promisify(brotliCompress);

/** The coding for a client that sent this `Accept-Encoding` header; null if it accepts none of ours. */
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

/** Compresses a body, on a thread of its own. */
export function compress(body: Buffer, coding: ContentCoding): Promise<Buffer> {
  return COMPRESS[coding](body);
}
