import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import { gzipSync } from 'node:zlib';
import { readForm, readJson, readPatch } from './body.ts';
import type { Clients } from './clients.ts';
import { readFaultOrder } from './fault-order.ts';
import type { Fault, Faults, Route } from './faults.ts';
import type { Journal, RequestRecord } from './journal.ts';
import type { RateLimit } from './rate-limit.ts';
import type { Random } from './random.ts';
import { Refusal, internalFault, notFound, rateLimited } from './refusal.ts';
import {
  type Answer,
  listPendingTasks,
  listTasks,
  patchTask,
  readAggregation,
  readTask,
} from './resources.ts';
import type { Tenant } from './tenant.ts';
import { VERSIONS, type VersionRules } from './versions.ts';

export interface ServerParts {
  tenant: Tenant;
  clients: Clients;
  faults: Faults;
  rateLimit: RateLimit;
  journal: Journal;
  random: Random;
}

interface Target {
  route: Route;
  rules: VersionRules;
  id: string;
}

// Compressing shorter bodies saves nothing.
const MIN_PACKED_BYTES = 1_024;
// The longest request line that nginx accepts by default.
const MAX_URL_BYTES = 8_192;
const COMMON_HEADERS = {
  Server: 'nginx',
  'Cache-Control': 'no-cache, no-store, must-revalidate',
  'Access-Control-Expose-Headers': 'Retry-After, SLPT-Request-ID, X-Zuul-ServiceId',
};

/** Serves the tenant over HTTP. */
export function createSandboxServer(parts: ServerParts): Server {
  const { tenant, clients, faults, rateLimit, journal, random } = parts;
  // Node's default limit would reject long requests before they reach the 414 below.
  return createServer({ maxHeaderSize: 65_536 }, (request, response) => {
    const trackingId = random.hex(32);
    const url = new URL(request.url ?? '/', 'http://sandbox');
    const record = journal.open(request.method ?? '', url.pathname, url.search.slice(1));
    response.on('close', () => {
      journal.close(record, response.headersSent ? response.statusCode : 0);
    });
    respond(request, response, url, record, trackingId).catch((error: unknown) => {
      const refusal = error instanceof Refusal ? error : internalFault();
      if (!response.headersSent)
        send(
          response,
          { status: refusal.status, body: refusal.toJson(trackingId), headers: refusal.headers },
          trackingId,
          [],
        );
    });
  });

  async function respond(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    record: RequestRecord,
    trackingId: string,
  ) {
    if (Buffer.byteLength(request.url ?? '') > MAX_URL_BYTES) return sendUriTooLong(response);
    if (url.pathname === '/oauth/token') return grantToken(request, response, url, trackingId);
    if (url.pathname === '/oauth/info') return send(response, oauthInfo(request), trackingId, []);
    if (url.pathname === '/sandbox/faults')
      return send(response, await control(request), trackingId, []);

    const target = findTarget(request.method ?? '', url.pathname);
    const client = await clients.verify(request.headers.authorization);
    if (!target) throw notFound();
    record.version = target.rules.version;
    record.clientId = client.id;
    const retryAfterSeconds = rateLimit.admit(`${client.id} ${target.rules.version}`);
    if (retryAfterSeconds !== null) throw rateLimited(retryAfterSeconds);

    const drawn = faults.draw(target.route);
    if (await applyToResponse(response, drawn, trackingId)) return;
    send(
      response,
      applyToAnswer(target.route, await answer(target, request, url, client), drawn),
      trackingId,
      drawn,
    );
  }

  async function answer(
    { route, rules, id }: Target,
    request: IncomingMessage,
    url: URL,
    client: Awaited<ReturnType<Clients['verify']>>,
  ): Promise<Answer> {
    switch (route) {
      case 'pending':
        return listPendingTasks(tenant, url.searchParams, client);
      case 'task':
        return readTask(tenant, id, client);
      case 'patch':
        return patchTask(tenant, id, await readPatch(request), client);
      case 'aggregation':
        return readAggregation(tenant, id, rules, client);
      default:
        return listTasks(tenant, rules, url.searchParams, client);
    }
  }

  async function grantToken(
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
    trackingId: string,
  ) {
    const drawn = faults.draw('token');
    if (await applyToResponse(response, drawn, trackingId)) return;
    const fields = await readForm(request, url);
    const client = clients.find(fields.get('client_id') ?? '', fields.get('client_secret') ?? '');
    const body =
      request.method !== 'POST' || fields.get('grant_type') !== 'client_credentials'
        ? {
            status: 400,
            body: { error: 'unsupported_grant_type', error_description: 'Unsupported grant type' },
          }
        : client === undefined
          ? {
              status: 401,
              body: { error: 'invalid_client', error_description: 'Bad client credentials' },
            }
          : { status: 200, body: await clients.grant(client) };
    send(response, { ...body, headers: {} }, trackingId, drawn);
  }

  function applyToAnswer(route: Route, answered: Answer, drawn: readonly Fault[]): Answer {
    if (route === 'aggregation')
      return { ...answered, body: faults.applyToAggregation(answered.body, drawn) };
    const headers = applyToCount(answered.headers, drawn);
    if (Array.isArray(answered.body))
      return { ...answered, headers, body: faults.applyTo(answered.body, drawn) };
    // A single task is treated as a list of one, which can be mutated but not omitted or repeated.
    const mutations = drawn.filter(({ kind }) => kind === 'row');
    return { ...answered, headers, body: faults.applyTo([answered.body], mutations)[0] };
  }

  /** POST orders a fault and DELETE clears all. For people who try out a running sandbox. */
  async function control(request: IncomingMessage): Promise<Answer> {
    if (request.method === 'DELETE') faults.clear();
    else if (request.method === 'POST') faults.order(readFaultOrder(await readJson(request)));
    else throw notFound();
    return { status: 204, body: undefined, headers: {} };
  }
}

function findTarget(method: string, path: string): Target | null {
  const rules = VERSIONS.find(
    version => path === version.path || path.startsWith(`${version.path}/`),
  );
  if (!rules) return findAggregation(method, path);
  const id = decodeSegment(path.slice(rules.path.length + 1));
  const isRead = method === 'GET' || method === 'HEAD';
  if (id === '') return method === 'GET' ? { route: 'list', rules, id } : null;
  if (id === 'pending-tasks' && rules.hasPendingTasks)
    return isRead ? { route: 'pending', rules, id } : null;
  if (method === 'GET') return { route: 'task', rules, id };
  return method === 'PATCH' ? { route: 'patch', rules, id } : null;
}

function findAggregation(method: string, path: string): Target | null {
  for (const rules of VERSIONS) {
    const prefix = `${rules.aggregationsPath}/`;
    if (method !== 'GET' || !path.startsWith(prefix)) continue;
    const [id = '', name, ...others] = path.slice(prefix.length).split('/');
    if (name === 'status' && others.length === 0)
      return { route: 'aggregation', rules, id: decodeSegment(id) };
  }
  return null;
}

function decodeSegment(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw notFound();
  }
}

/** Applies faults that replace the answer. Returns true if the request is finished. */
async function applyToResponse(
  response: ServerResponse,
  drawn: readonly Fault[],
  trackingId: string,
): Promise<boolean> {
  for (const fault of drawn) {
    // Unreferenced: the process may exit before the answer.
    if (fault.kind === 'latency')
      await new Promise(resolve => setTimeout(resolve, fault.ms).unref());
    if (fault.kind === 'drop') response.destroy();
    if (fault.kind === 'status') {
      const refusal =
        fault.status === 429
          ? rateLimited(1)
          : new Refusal(fault.status, `${fault.status} Fault`, 'A fault was ordered.');
      const headers =
        fault.retryAfter === undefined ? refusal.headers : { 'Retry-After': fault.retryAfter };
      if (fault.body !== undefined) {
        response.writeHead(fault.status, { ...headers, 'Content-Type': 'text/html' });
        response.end(fault.body);
        return true;
      }
      send(
        response,
        { status: fault.status, body: refusal.toJson(trackingId), headers },
        trackingId,
        [],
      );
    }
    if (response.destroyed || response.writableEnded) return true;
  }
  return false;
}

function applyToCount(
  { 'X-Total-Count': total, ...others }: Record<string, string>,
  drawn: readonly Fault[],
): Record<string, string> {
  const fault = drawn.find(({ kind }) => kind === 'no-count');
  const text = fault?.kind === 'no-count' ? fault.text : total;
  return text === undefined ? others : { ...others, 'X-Total-Count': text };
}

function send(
  response: ServerResponse,
  { status, body, headers }: Answer,
  trackingId: string,
  drawn: readonly Fault[],
): void {
  const text = body === undefined ? '' : JSON.stringify(body);
  const isMalformed = drawn.some(({ kind }) => kind === 'malformed');
  const plain = Buffer.from(isMalformed ? `<html>${text.slice(1)}` : text);
  const isPacked = plain.length >= MIN_PACKED_BYTES && acceptsGzip(response.req);
  const bytes = isPacked ? gzipSync(plain, { level: 1 }) : plain;
  const content =
    text === ''
      ? {}
      : {
          'Content-Type': 'application/json',
          'Content-Length': bytes.length,
          ...(isPacked && { 'Content-Encoding': 'gzip', Vary: 'Accept-Encoding' }),
        };
  response.writeHead(status, {
    ...COMMON_HEADERS,
    'SLPT-Request-ID': trackingId,
    ...content,
    ...headers,
  });
  if (!drawn.some(({ kind }) => kind === 'truncate')) response.end(bytes);
  // Wait for the write, or the headers would be lost with the connection.
  else response.write(bytes.subarray(0, bytes.length >> 1), () => response.destroy());
}

function acceptsGzip({ headers }: IncomingMessage): boolean {
  return /\bgzip\b/i.test(headers['accept-encoding'] ?? '');
}

function sendUriTooLong(response: ServerResponse): void {
  response.writeHead(414, { Server: 'nginx', 'Content-Type': 'text/html' });
  response.end('<html><body><h1>414 Request-URI Too Large</h1></body></html>');
}

function oauthInfo(request: IncomingMessage): Answer {
  const base = `http://${request.headers.host ?? 'localhost'}`;
  const body = {
    authorizeEndpoint: `${base}/oauth/authorize`,
    tokenEndpoint: `${base}/oauth/token`,
  };
  return { status: 200, body, headers: {} };
}
