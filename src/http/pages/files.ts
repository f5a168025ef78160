import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join } from 'node:path';

/** The files of the pages, which the build has compressed in advance. */
export interface PageFiles {
  /** Sends a file, such as `board.html`; false if there is none of that name. */
  send(name: string, request: IncomingMessage, response: ServerResponse): boolean;
}

interface PageFile {
  etag: string;
  /** Without compression, with gzip and with brotli. */
  content: Record<Encoding, Buffer>;
}

type Encoding = 'identity' | 'gzip' | 'br';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
};
// The same folder seen from src/http/pages and from dist/http/pages.
const FOLDER = join(import.meta.dirname, '../../../dist/pages');

/** Reads the files on the first request, so that a gateway whose pages are not used never does. */
export function createPageFiles(): PageFiles {
  let files: Map<string, PageFile> | null = null;
  return {
    send(name, request, response) {
      files ??= readFiles();
      const file = files.get(name);
      if (file === undefined) return false;
      const type = extname(name);
      response.setHeader('vary', 'accept-encoding');
      response.setHeader('etag', file.etag);
      // The name of an asset changes with its content.
      response.setHeader(
        'cache-control',
        type === '.html' ? 'no-cache' : 'public, max-age=31536000, immutable',
      );
      if (request.headers['if-none-match'] === file.etag) {
        response.writeHead(304).end();
        return true;
      }
      const encoding = encodingOf(request);
      if (encoding !== 'identity') response.setHeader('content-encoding', encoding);
      const body = file.content[encoding];
      response.setHeader('content-type', TYPES[type] ?? 'application/octet-stream');
      response.setHeader('content-length', body.length);
      response.writeHead(200).end(request.method === 'HEAD' ? undefined : body);
      return true;
    },
  };
}

function readFiles(): Map<string, PageFile> {
  // Absent only in a checkout that has not been built; its pages are then NOT_FOUND.
  if (!existsSync(FOLDER)) return new Map();
  const names = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' });
  return new Map(
    names
      .filter(name => TYPES[extname(name)] !== undefined)
      .map(name => {
        const path = join(FOLDER, name);
        const content = {
          identity: readFileSync(path),
          gzip: readFileSync(`${path}.gz`),
          br: readFileSync(`${path}.br`),
        };
        const hash = createHash('sha256').update(content.identity).digest('base64url');
        return [name.replaceAll('\\', '/'), { etag: `W/"${hash.slice(0, 22)}"`, content }];
      }),
  );
}

/** The best encoding that the client accepts. An encoding with `q=0` is refused (RFC 9110, 12.5.3). */
function encodingOf({ headers }: IncomingMessage): Encoding {
  const parts = [headers['accept-encoding'] ?? ''].flat().join(',').toLowerCase().split(',');
  const accepted = new Set(
    parts
      .filter(part => !/;\s*q=0(\.0*)?\s*$/.test(part))
      .map(part => part.split(';', 1)[0]?.trim()),
  );
  return (['br', 'gzip'] as const).find(encoding => accepted.has(encoding)) ?? 'identity';
}
