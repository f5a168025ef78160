import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodeJwt } from 'jose';
import { LIMIT, WINDOW_MS } from './claims.ts';
import type { Claims } from './claims.ts';

/*
 * A tenant that treats each token as its claim `kind` says, and counts the requests of good tokens
 * by client, as strictly as upstream does. It runs in a process of its own.
 */

const sent = new Map<string, number[]>();
/** Answers by status, of good tokens and of others. */
const counts: Record<string, number> = {};
const MEGABYTE = `"${'x'.repeat(1_048_574)}"`;

const server = createServer((request, response) => {
  request.resume();
  if (request.url?.endsWith('/oauth/token'))
    return json(response, 200, { access_token: 'gateway', expires_in: 749 });
  answer(claimsOf(request), request, response);
});
server.listen(0, '127.0.0.1', () => {
  process.send?.(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on('message', () => process.send?.(counts));

function answer(
  { kind, client_id: client }: Claims,
  request: IncomingMessage,
  response: ServerResponse,
) {
  switch (kind) {
    case 'good':
      return isWithinLimit(client)
        ? json(response, 200, pageOf(request, 10), kind)
        : json(response, 429, {}, kind, { 'retry-after': '10' });
    case 'forged':
      return json(response, 401, { error: 'JWT validation failed' }, kind);
    case 'paused':
      return json(response, 429, {}, kind, { 'retry-after': '300' });
    case 'paused for ever':
      return json(response, 429, {}, kind, { 'retry-after': '1000000000000' });
    case 'too long':
      return json(response, 431, {}, kind);
    case 'reset':
      return response.destroy();
    case 'endless':
      return json(response, 200, pageOf(request, Infinity), kind);
    case 'huge':
      return sendHuge(response);
  }
}

function claimsOf({ headers: { authorization = '' } }: IncomingMessage): Claims {
  if (authorization === 'Bearer gateway') return { kind: 'good', client_id: 'gateway' };
  try {
    return decodeJwt(authorization.replace('Bearer ', ''));
  } catch {
    return { kind: 'too long', client_id: '' };
  }
}

function isWithinLimit(client: string): boolean {
  const now = performance.now();
  const times = (sent.get(client) ?? []).filter(at => at > now - WINDOW_MS);
  sent.set(client, times);
  if (times.length >= LIMIT) return false;
  times.push(now);
  return true;
}

function pageOf({ url = '' }: IncomingMessage, rows: number): object[] {
  const { searchParams } = new URL(url, 'http://tenant');
  const length = Math.min(rows, Number(searchParams.get('limit') ?? 250));
  const first = Number(searchParams.get('offset') ?? 0);
  return Array.from({ length }, (_, place) => ({
    id: `t${first + place}`,
    type: 'QUARTZ',
    uniqueName: 'Cloud Account Aggregation',
    description: 'Aggregates from the specified application.',
    launcher: 'System',
    created: '2026-08-20T06:00:00.412Z',
    completed: '2026-08-20T06:03:41.077Z',
    completionStatus: 'SUCCESS',
    percentComplete: 100,
  }));
}

/** 300 MB, as fast as they are read. */
function sendHuge(response: ServerResponse): void {
  let left = 300;
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('[');
  const send = () => {
    while (left-- > 0 && !response.destroyed) if (!response.write(`${MEGABYTE},`)) return;
    response.end('0]');
  };
  response.on('drain', send);
  send();
}

function json(
  response: ServerResponse,
  status: number,
  body: unknown,
  kind = 'none',
  headers: Record<string, string> = {},
): void {
  const name = `${kind} ${status}`;
  counts[name] = (counts[name] ?? 0) + 1;
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}
