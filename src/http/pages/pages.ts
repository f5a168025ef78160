import type { IncomingMessage, ServerResponse } from 'node:http';
import { createPageFiles, readBoardDocuments } from './files.ts';

export interface PagesOptions {
  /** Whether GraphiQL is served to browsers that open the GraphQL endpoint. */
  graphiql: boolean;
  /** Whether the task board is served at `/`. */
  board: boolean;
}

/** Serves GraphiQL, the task board and their assets. Each method is false if it sent nothing. */
export interface Pages {
  sendGraphiQL(request: IncomingMessage, response: ServerResponse): boolean;
  sendBoard(request: IncomingMessage, response: ServerResponse): boolean;
  sendAsset(path: string, request: IncomingMessage, response: ServerResponse): boolean;
  /** The documents that the pages need. GraphiQL needs any, and so adds none. */
  readDocuments(): readonly string[];
}

const COMMON = [
  "default-src 'none'",
  "script-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];
// The editor sets inline styles in markup.
const GRAPHIQL_POLICY = [...COMMON, "style-src 'self' 'unsafe-inline'", 'img-src data:'].join('; ');
const BOARD_POLICY = [
  ...COMMON,
  "style-src 'self'",
  'img-src data:',
  // No script of the board may write markup.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

export function createPages({ graphiql, board }: PagesOptions): Pages {
  const files = createPageFiles();
  return {
    sendGraphiQL(request, response) {
      if (!graphiql || !isNavigation(request)) return false;
      response.setHeader('content-security-policy', GRAPHIQL_POLICY);
      return files.send('graphiql.html', request, response);
    },
    sendBoard(request, response) {
      if (!board || !isRead(request)) return false;
      response.setHeader('content-security-policy', BOARD_POLICY);
      return files.send('board.html', request, response);
    },
    sendAsset: (path, request, response) =>
      (graphiql || board) &&
      path.startsWith('/assets/') &&
      isRead(request) &&
      files.send(path.slice(1), request, response),
    readDocuments: () => (board ? readBoardDocuments() : []),
  };
}

const isRead = ({ method }: IncomingMessage) => method === 'GET' || method === 'HEAD';

/** Whether a browser opens the endpoint. Other clients of the endpoint do not ask for HTML. */
function isNavigation(request: IncomingMessage): boolean {
  return isRead(request) && (request.headers.accept ?? '').includes('text/html');
}
