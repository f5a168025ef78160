import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join } from 'node:path';
import { PACKAGE_FOLDER } from '../../package-folder.ts';
import { type ContentCoding, contentCodingFor } from '../access/content-coding.ts';

/** The files of the pages, which the build has compressed in advance. */
export interface PageFiles {
  /** Sends a file, such as `board.html`; false if there is none of that name. */
  send(name: string, request: IncomingMessage, response: ServerResponse): boolean;
}

interface PageFile {
  hash: string;
  body: Buffer;
  /** The body, compressed. */
  encoded: Record<ContentCoding, Buffer>;
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
};
const FOLDER = join(PACKAGE_FOLDER, 'dist/pages');

/** The documents that the board sends. None in a checkout that has not been built. */
export function readBoardDocuments(): string[] {
  const path = join(FOLDER, 'board-documents.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as string[]) : [];
}

/** Reads the files on the first request, so that a gateway whose pages are not used never does. */
export function createPageFiles(): PageFiles {
  let files: Map<string, PageFile> | null = null;
  return {
    send(name, request, response) {
      files ??= readFiles();
      const file = files.get(name);
      if (file === undefined) return false;
      const type = extname(name);
      const { 'accept-encoding': accepted, 'if-none-match': known } = request.headers;
      const coding = contentCodingFor(accepted ?? '');
      // Each representation has its own tag (RFC 9110, section 8.8.3.3).
      const tag = `"${file.hash}${coding === null ? '' : `-${coding}`}"`;
      response.setHeader('vary', 'accept-encoding');
      response.setHeader('etag', tag);
      // The name of an asset changes with its content.
      response.setHeader(
        'cache-control',
        type === '.html' ? 'no-cache' : 'public, max-age=31536000, immutable',
      );
      if (isKnown(known, tag)) {
        response.writeHead(304).end();
        return true;
      }
      if (coding !== null) response.setHeader('content-encoding', coding);
      const body = coding === null ? file.body : file.encoded[coding];
      response.setHeader('content-type', TYPES[type] ?? 'application/octet-stream');
      response.writeHead(200, { 'content-length': body.length });
      response.end(request.method === 'HEAD' ? undefined : body);
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
        const body = readFileSync(path);
        const encoded = { gzip: readFileSync(`${path}.gz`), br: readFileSync(`${path}.br`) };
        const hash = createHash('sha256').update(body).digest('base64url');
        return [name.replaceAll('\\', '/'), { hash, body, encoded }];
      }),
  );
}

/** Whether an If-None-Match header names the tag, which may have become a weak one on its way. */
function isKnown(header: string | undefined, tag: string): boolean {
  return (header ?? '').split(',').some(known => {
    const text = known.trim();
    return text === '*' || text.replace(/^W\//, '') === tag;
  });
}
