import type { ServerResponse } from 'node:http';
import type { ErrorCode } from '../errors.ts';

/** Why a request is not served. The body has the form of a GraphQL response. */
export interface RequestRefusal {
  status: number;
  code: ErrorCode;
  message: string;
}

/** Refusals of requests, whatever they ask for. */
export const REFUSALS = {
  routerOnly: refusalOf(403, 'FORBIDDEN', 'This subgraph accepts requests only from its router.'),
  wrongHost: refusalOf(403, 'FORBIDDEN', 'The Host header does not name this gateway.'),
  alreadyRead: refusalOf(
    500,
    'INTERNAL_SERVER_ERROR',
    'The application has read the body before the gateway. Register the gateway before middleware that parses bodies.',
  ),
  closed: refusalOf(503, 'UPSTREAM_UNAVAILABLE', 'The gateway is closed.'),
  noHost: refusalOf(400, 'BAD_USER_INPUT', 'The request has no Host header.'),
  unexpected: refusalOf(
    417,
    'BAD_USER_INPUT',
    'The gateway meets no expectation but 100-continue.',
  ),
} as const;

/** The refusal of all paths but this one. */
export function notFoundBut(path: string): RequestRefusal {
  return refusalOf(404, 'NOT_FOUND', `GraphQL is at ${path}.`);
}

function refusalOf(status: number, code: ErrorCode, message: string): RequestRefusal {
  return { status, code, message };
}

export function sendRefusal(
  response: ServerResponse,
  { status, code, message }: RequestRefusal,
): void {
  sendJson(response, status, { errors: [{ message, extensions: { code } }] });
}

/** Answers a request that is no operation. */
export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
