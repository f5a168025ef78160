import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { createCapturedLog } from '../support/captured-log.ts';
import { scrape, sumOf } from '../support/exposition.ts';
import { sendRequest } from '../support/raw-request.ts';
import { startGateway } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

// Requests that are refused before anything of their operation is known have a line of the log, and
// count.

const JSON_TYPE = { 'content-type': 'application/json' };
const BODY = '{"query":"{ __typename }"}';
const ROUTER = { DIRECT_TRAFFIC: 'refuse', ROUTER_SECRET: 'a secret of sixteen' };

async function start(t: TestContext, env: Record<string, string> = {}) {
  const log = createCapturedLog();
  const gateway = await startGateway(t, { log, env });
  const lines = () => log.lines.filter(({ message }) => message === 'operation');
  const refused = async (transport: string, outcome: string) =>
    sumOf(await scrape(gateway.gateway.metricsUrl), 'task_status_gateway_operations_total', {
      type: 'unknown',
      transport,
      outcome,
    });
  return { ...gateway, lines, refused };
}

async function closeOf(t: TestContext, url: string, headers: Record<string, string>) {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws', { headers });
  t.after(() => socket.terminate());
  socket.on('open', () => socket.send('{"type":"connection_init"}'));
  const [code] = (await once(socket, 'close')) as [number];
  return code;
}

const POST = { method: 'POST', headers: JSON_TYPE, body: BODY };

const REFUSED: {
  what: string;
  env?: Record<string, string>;
  path?: string;
  method?: string;
  headers?: Record<string, string>;
  transport?: string;
  status: number;
  code: string;
}[] = [
  {
    what: 'for another host',
    headers: { host: 'elsewhere.example' },
    status: 403,
    code: 'FORBIDDEN',
  },
  { what: 'of another than the router', env: ROUTER, status: 403, code: 'FORBIDDEN' },
  {
    what: 'of a router that cannot be verified',
    env: {
      DIRECT_TRAFFIC: 'refuse',
      ROUTER_JWKS_URL: 'http://127.0.0.1:1/keys',
      ROUTER_JWT_ISSUER: 'issuer',
      ROUTER_JWT_AUDIENCE: 'audience',
    },
    headers: {
      'router-authorization': `Bearer ${['{"alg":"RS256"}', '{}', 'x'].map(toBase64).join('.')}`,
    },
    status: 503,
    code: 'UPSTREAM_UNAVAILABLE',
  },
  {
    what: 'without a token, to reserve a stream',
    env: { AUTH_MODE: 'passthrough' },
    path: '/stream',
    method: 'PUT',
    transport: 'single-connection',
    status: 401,
    code: 'UNAUTHENTICATED',
  },
  {
    what: 'on a stream that there is not',
    path: '/stream?token=none',
    transport: 'single-connection',
    status: 404,
    code: 'NOT_FOUND',
  },
];

function toBase64(text: string): string {
  return Buffer.from(text).toString('base64url');
}

for (const {
  what,
  env,
  path = '',
  method = 'POST',
  headers,
  transport = 'http',
  status,
  code,
} of REFUSED)
  test(`a request ${what} has a line, and counts`, async t => {
    const { url, lines, refused } = await start(t, env);
    const response = await sendRequest(`${url}${path}`, {
      ...POST,
      method,
      headers: { ...JSON_TYPE, 'x-request-id': 'r-1', ...headers },
    });
    assert.deepEqual([response.status, response.headers['x-request-id']], [status, 'r-1']);
    assert.deepEqual(
      lines().map(line => [line['type'], line['codes'], line['requestId'], line['transport']]),
      [['unknown', [code], 'r-1', transport]],
    );
    assert.equal(await refused(transport, code), 1);
  });

test('connections above the limit are logged and counted, over HTTP and WebSocket; those to other paths are not', async t => {
  const { url, lines, gateway } = await start(t, { MAX_CONNECTIONS: '1', METRICS_PORT: '0' });
  const first = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  t.after(() => first.terminate());
  await once(first, 'open');
  const health = await sendRequest(new URL('/health/ready', url).href, {});
  assert.equal(health.status, 503);
  const headers = { ...JSON_TYPE, 'x-request-id': 'http-1' };
  assert.equal((await sendRequest(url, { ...POST, headers })).status, 503);
  const second = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws', {
    headers: { 'x-request-id': 'ws-1' },
  });
  await once(second, 'unexpected-response');
  second.on('error', () => {});
  second.terminate();
  assert.deepEqual(
    lines().map(({ transport, codes, requestId }) => [transport, codes, requestId]),
    [
      ['http', ['RATE_LIMITED'], 'http-1'],
      ['websocket', ['RATE_LIMITED'], 'ws-1'],
    ],
  );
  const counted = sumOf(await scrape(gateway.metricsUrl), 'task_status_gateway_operations_total', {
    outcome: 'RATE_LIMITED',
  });
  assert.equal(counted, 2);
});

for (const [what, env, headers] of [
  ['for another host', {}, { host: 'elsewhere.example' }],
  ['of another origin', {}, { origin: 'https://elsewhere.example' }],
  ['of another than the router', ROUTER, {}],
] as const)
  test(`a WebSocket ${what} has a line, and counts`, async t => {
    const { url, lines, refused } = await start(t, env);
    assert.equal(await closeOf(t, url, { ...headers, 'x-request-id': 'ws-1' }), 4403);
    assert.deepEqual(
      lines().map(({ type, transport, codes, requestId }) => [type, transport, codes, requestId]),
      [['unknown', 'websocket', ['FORBIDDEN'], 'ws-1']],
    );
    assert.equal(await refused('websocket', 'FORBIDDEN'), 1);
  });

test('an operation over a stream that starts, or is refused once it is read, has no further line', async t => {
  const { url, lines } = await start(t);
  for (const query of ['{ __typename }', '{ nothing }'])
    await subscribe(t, 'single-connection sse', url, query)
      .next()
      .catch(() => {});
  await until(() => lines().length === 2);
  assert.deepEqual(
    lines().map(({ codes }) => codes),
    [[], ['BAD_USER_INPUT']],
  );
});

for (const [what, bytes, reason] of [
  ['TLS', '\x16\x03\x01\x00\xc8\x01', 'The request is TLS, and this port speaks plain HTTP.'],
  [
    'HTTP/2',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'The request is HTTP/2, and this port speaks HTTP/1.1.',
  ],
] as const)
  test(`the log says that ${what} was sent`, async t => {
    const log = createCapturedLog();
    const { url } = await startGateway(t, { log });
    connect(Number(new URL(url).port), '127.0.0.1')
      .end(bytes, 'latin1')
      .on('error', () => {})
      .resume();
    await until(() => log.lines.some(({ message }) => message === 'a request could not be read'));
    const line = log.lines.find(({ message }) => message === 'a request could not be read');
    assert.deepEqual([line?.['status'], line?.['reason']], [400, reason]);
  });
