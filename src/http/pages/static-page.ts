import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ContentCoding, compress, contentCodingFor } from '../access/content-coding.ts';

/** A page or an asset that does not change while the program runs. */
export interface StaticPage {
  /** Answers with the body, compressed once for all clients, or with 304 if the client has it. */
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** `headers` are sent with the body; they include its `content-type`. */
export function createStaticPage(text: string, headers: Record<string, string>): StaticPage {
  const body = Buffer.from(text);
  const hash = createHash('sha256').update(body).digest('base64url');
  // Compressed at the first request, because few instances serve pages at all.
  const compressed = new Map<ContentCoding, Promise<Buffer>>();

  return {
    async answer({ headers: { 'accept-encoding': accepted, 'if-none-match': known } }, response) {
      const coding = contentCodingFor(accepted ?? '');
      // Each representation has its own tag (RFC 9110, section 8.8.3.3).
      const tag = `"${hash}${coding === null ? '' : `-${coding}`}"`;
      response.setHeader('etag', tag);
      // The client may keep the page, and asks whether it is still the same.
      response.setHeader('cache-control', 'no-cache');
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      if (isKnown(known, tag)) return void response.writeHead(304).end();
      const bytes = coding === null ? body : await compressedBy(coding);
      if (coding !== null) response.setHeader('content-encoding', coding);
      response.writeHead(200, { 'content-length': bytes.length });
      response.end(bytes);
    },
  };

  function compressedBy(coding: ContentCoding): Promise<Buffer> {
    const bytes = compressed.get(coding) ?? compress(body, coding);
    compressed.set(coding, bytes);
    return bytes;
  }
}

/** Whether an If-None-Match header names the tag, which may have become a weak one on its way. */
function isKnown(header: string | undefined, tag: string): boolean {
  return (header ?? '').split(',').some(known => {
    const text = known.trim();
    return text === '*' || text.replace(/^W\//, '') === tag;
  });
}
