import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type IncomingMessage, type Server, createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { Agent } from 'undici';
import { createSendAttempt } from '../../src/upstream/attempt.ts';
import {
  certificatePath,
  sendJson,
  startGatewayOver,
  startHostileUpstream,
  startRawServer,
} from '../support/hostile-upstream.ts';
import { firstLine, spawnMain } from '../support/process.ts';
import { postGraphQL } from '../support/start.ts';

const LIST = '{ taskStatuses(first: 5) { nodes { id } } }';
const BY_ID = '{ taskStatus(id: "a") { id attributes } }';
const ROW = { id: 'a', type: 'QUARTZ', uniqueName: 'n', created: 1, percentComplete: 0 };
const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string };

test('every upstream request names the gateway and accepts compressed answers', async t => {
  const upstream = await startHostileUpstream(t);
  const { query } = await startGatewayOver(t, upstream.url);
  await query(LIST);
  const [{ headers }] = upstream.requests as [(typeof upstream.requests)[0]];
  assert.equal(headers['user-agent'], `task-status-gateway/${version}`);
  assert.equal(headers['accept-encoding'], 'gzip, deflate, br');
});

const ENCODINGS: Record<string, (body: Buffer) => Buffer> = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  GZIP: gzipSync,
  deflate: deflateSync,
  'deflate ': deflateRawSync,
  br: brotliCompressSync,
  identity: body => body,
  'gzip, br': body => brotliCompressSync(gzipSync(body)),
  'identity, deflate , gzip': body => gzipSync(deflateSync(body)),
};

for (const [encoding, encode] of Object.entries(ENCODINGS))
  test(`an answer in ${JSON.stringify(encoding)} (${encode.name || 'several'}) is decoded`, async t => {
    const upstream = await startHostileUpstream(t);
    const { query } = await startGatewayOver(t, upstream.url);
    upstream.respond = response =>
      response
        .writeHead(200, { 'content-encoding': encoding })
        .end(encode(Buffer.from(JSON.stringify([ROW]))));
    const { data, errors } = await query(LIST);
    assert.deepEqual([errors, data?.taskStatuses.nodes], [undefined, [{ id: 'a' }]]);
  });

const MEGABYTE = 1_048_576;
const FAST = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
const BODIES: [
  name: string,
  encoding: string,
  body: () => Buffer,
  message: RegExp,
  requests: number,
][] = [
  ['a bomb', 'gzip', () => gzipSync(Buffer.alloc(200 * MEGABYTE)), /larger than 33554432 bytes/, 1],
  [
    'a bomb',
    'br',
    () => brotliCompressSync(Buffer.alloc(40 * MEGABYTE), FAST),
    /larger than 33554432 bytes/,
    1,
  ],
  [
    'a bomb in a bomb',
    'gzip, gzip',
    () => gzipSync(gzipSync(Buffer.alloc(200 * MEGABYTE))),
    /larger than 33554432 bytes/,
    1,
  ],
  ['too much', 'identity', () => Buffer.alloc(33 * MEGABYTE, ' '), /larger than 33554432 bytes/, 1],
  [
    'an encoding that the gateway does not accept',
    'zstd',
    () => Buffer.from('[]'),
    /with an encoding that the gateway does not accept/,
    1,
  ],
  [
    'encodings upon encodings',
    'gzip,gzip,gzip,gzip',
    () => Buffer.from('[]'),
    /encoded its answer 4 times/,
    1,
  ],
  ['what is not compressed at all', 'gzip', () => Buffer.from('[]'), /is incomplete/, 4],
  [
    'half of what was compressed',
    'gzip',
    () => gzipSync(Buffer.from('['.repeat(999))).subarray(0, 20),
    /is incomplete/,
    4,
  ],
];

for (const [name, encoding, body, message, requests] of BODIES)
  test(`an answer of ${name} (${encoding}) is UPSTREAM_INVALID_RESPONSE, and the size limit holds`, async t => {
    const upstream = await startHostileUpstream(t);
    const { query, causes } = await startGatewayOver(t, upstream.url);
    const bytes = body();
    upstream.respond = response =>
      response.writeHead(200, { 'content-encoding': encoding }).end(bytes);
    const [error] = (await query(LIST)).errors ?? [];
    assert.equal(error?.extensions['code'], 'UPSTREAM_INVALID_RESPONSE');
    assert.match(error?.message ?? '', message);
    assert.equal(upstream.requests.length, requests);
    assert.equal(causes().length, requests);
    upstream.respond = response => sendJson(response, 200, []);
    assert.equal((await query(LIST)).errors, undefined);
  });

test('a task nested too deeply is read without its deepest values', async t => {
  const upstream = await startHostileUpstream(t);
  const { query } = await startGatewayOver(t, upstream.url);
  const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;
  upstream.respond = response =>
    response.end(`[${JSON.stringify(ROW).slice(0, -1)},"attributes":{"x":${deep(100_000)}}}]`);
  const { data, errors } = await query(BY_ID);
  assert.equal(errors, undefined);
  assert.ok(JSON.stringify(data.taskStatus.attributes).length < 200);
});

interface Failure {
  name: string;
  url(t: TestContext): Promise<string> | string;
  code?: string;
  cause: RegExp;
  attempts: number;
  env?: Record<string, string>;
}

const over = async (t: TestContext, certificate: 'good' | 'expired') =>
  (await startHostileUpstream(t, certificate)).url;
const FAILURES: Failure[] = [
  {
    name: 'the port is closed',
    url: () => 'http://127.0.0.1:1',
    cause: /^the connection was refused \(127\.0\.0\.1:1\)$/,
    attempts: 4,
  },
  {
    name: 'DNS does not know the host',
    url: () => 'http://tenant.invalid',
    cause: /^DNS .*\(tenant\.invalid\)$/,
    attempts: 4,
  },
  {
    name: 'the connection is reset',
    url: async t => `http://127.0.0.1:${await startRawServer(t, null)}`,
    cause: /^the connection was reset$/,
    attempts: 4,
  },
  {
    name: 'the connection is closed',
    url: async t => `http://127.0.0.1:${await startRawServer(t, '')}`,
    cause: /^the connection was closed before the answer was complete$/,
    attempts: 4,
  },
  {
    name: 'the answer is not HTTP',
    url: async t => `http://127.0.0.1:${await startRawServer(t, 'SSH-2.0-OpenSSH_9.6\r\n\r\n')}`,
    cause: /^the answer is not HTTP$/,
    attempts: 4,
  },
  {
    name: 'the certificate is self-signed',
    url: t => over(t, 'good'),
    cause: /^the certificate is self-signed$/,
    attempts: 1,
  },
  {
    name: 'the certificate has expired',
    url: t => over(t, 'expired'),
    cause: /^the certificate has expired$/,
    attempts: 1,
  },
  {
    name: 'the host does not speak TLS',
    url: async t => (await startHostileUpstream(t)).url.replace('http', 'https'),
    cause: /^the host does not speak TLS$/,
    attempts: 1,
  },
  {
    name: 'no answer comes',
    async url(t) {
      const upstream = await startHostileUpstream(t);
      upstream.respond = () => {};
      return upstream.url;
    },
    env: { UPSTREAM_TIMEOUT_MS: '100' },
    code: 'UPSTREAM_TIMEOUT',
    cause: /^no complete answer within 100 ms$/,
    attempts: 4,
  },
];

for (const { name, url, code = 'UPSTREAM_UNAVAILABLE', cause, attempts, env } of FAILURES)
  test(`if ${name}, the caller gets ${code}, and each attempt logs the reason once`, async t => {
    const { query, log, causes } = await startGatewayOver(t, await url(t), env);
    const [error] =
      (await query('{ taskStatuses(filter: { launcher: { eq: "who asks" } }) { nodes { id } } }'))
        .errors ?? [];
    assert.equal(error?.extensions['code'], code);
    assert.doesNotMatch(error?.message ?? '', /127\.0|invalid|certificate/);
    assert.equal(causes().length, attempts);
    for (const line of causes()) assert.match(line, cause);
    assert.doesNotMatch(JSON.stringify(log.lines), /who asks|secret|opaque/);
  });

test('a certificate for another host is reported with its name', async t => {
  const { url } = await startHostileUpstream(t, 'other');
  const dispatcher = new Agent({ connect: { ca: readFileSync(certificatePath('other')) } });
  t.after(() => dispatcher.destroy());
  const send = createSendAttempt({
    dispatcher,
    origin: url,
    timeoutMs: 5_000,
    maxTotalBytes: 1_000_000,
    maxBodyBytes: 1_000,
    userAgent: 'x',
  });
  await assert.rejects(send({ method: 'GET', path: '/', headers: {} }), {
    code: 'UPSTREAM_UNAVAILABLE',
    explanation: 'the certificate is for another host name',
  });
});

/**
 * A proxy that connects everything to one port of this machine, refuses with a status, or closes
 * each connection.
 */
async function startProxy(
  t: TestContext,
  targetPort: number,
  refuseWith?: number | 'close' | 'silence',
) {
  const targets: string[] = [];
  const proxy: Server = createServer((request, response) => {
    targets.push(`${request.method} ${new URL(request.url ?? '').origin}`);
    if (refuseWith === 'close' || refuseWith === 'silence') return request.socket.destroy();
    if (refuseWith !== undefined) return response.writeHead(refuseWith).end();
    const through = connect(targetPort, '127.0.0.1');
    through.end(`GET ${new URL(request.url ?? '').pathname} HTTP/1.0\r\nauthorization: x\r\n\r\n`);
    let text = '';
    through.on('data', chunk => (text += chunk));
    through.on('end', () => response.end(text.split('\r\n\r\n')[1]));
  });
  proxy.on('connect', (request: IncomingMessage, socket: Duplex) => {
    targets.push(`CONNECT ${request.url}`);
    socket.on('error', () => {});
    if (refuseWith === 'close') return socket.destroy();
    if (refuseWith === 'silence') return undefined;
    if (refuseWith !== undefined) return socket.end(`HTTP/1.1 ${refuseWith} No\r\n\r\n`);
    const through = connect(targetPort, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      through.pipe(socket).pipe(through);
    });
    through.on('error', () => socket.destroy());
    return undefined;
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, targets };
}

for (const variable of ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'])
  test(`token and API requests reach the tenant through ${variable}`, async t => {
    const upstream = await startHostileUpstream(t, 'good');
    const proxy = await startProxy(t, upstream.port);
    const child = spawnMain(t, ['serve'], {
      PORT: '0',
      AUTH_MODE: 'service',
      SAIL_BASE_URL: 'https://tenant.example.test',
      SAIL_CLIENT_ID: 'client',
      SAIL_CLIENT_SECRET: 'secret',
      NODE_EXTRA_CA_CERTS: certificatePath('good'),
      [variable]: proxy.url,
    });
    const [, url = ''] = /^GraphQL at (\S+),/.exec(await firstLine(child)) ?? [];
    assert.equal((await postGraphQL(url, LIST)).errors, undefined);
    assert.deepEqual([...new Set(proxy.targets)], ['CONNECT tenant.example.test:443']);
    assert.equal(upstream.requests.length, 1);
  });

test('hosts that NO_PROXY lists, and this machine, are reached without a proxy', async t => {
  const upstream = await startHostileUpstream(t);
  const proxy = await startProxy(t, upstream.port);
  const env = { HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url };
  const direct = await startGatewayOver(t, upstream.url, env);
  assert.equal((await direct.query(LIST)).errors, undefined);
  assert.deepEqual(proxy.targets, []);
  const listed = await startGatewayOver(t, 'https://tenant.invalid', {
    ...env,
    NO_PROXY: '.invalid',
  });
  await listed.query(LIST);
  assert.deepEqual(proxy.targets, []);
  assert.match(listed.causes()[0] ?? '', /^DNS/);
});

for (const [status, cause, attempts] of [
  [407, /^the proxy requires credentials \(407\)$/, 1],
  [502, /^the proxy refused to connect \(502\)$/, 4],
] as const)
  test(`a proxy that rejects a request with ${status} is logged`, async t => {
    const proxy = await startProxy(t, 1, status);
    const env = { HTTPS_PROXY: proxy.url };
    const { query, causes } = await startGatewayOver(t, 'https://tenant.example.test', env);
    const [error] = (await query(LIST)).errors ?? [];
    assert.equal(error?.extensions['code'], 'UPSTREAM_UNAVAILABLE');
    assert.equal(causes().length, attempts);
    for (const line of causes()) assert.match(line, cause);
  });

test('a proxy that closes its connections is asked once for each attempt', async t => {
  const proxy = await startProxy(t, 1, 'close');
  const env = { HTTPS_PROXY: proxy.url };
  const { query, causes } = await startGatewayOver(t, 'https://tenant.example.test', env);
  const [error] = (await query(LIST)).errors ?? [];
  assert.equal(error?.extensions['code'], 'UPSTREAM_UNAVAILABLE');
  assert.equal(causes().length, 4);
  for (const cause of causes()) assert.equal(cause, 'the proxy closed the connection');
  assert.equal(proxy.targets.length, 4);
});

test('a proxy that never answers holds an attempt no longer than its time limit', async t => {
  const proxy = await startProxy(t, 1, 'silence');
  const env = { HTTPS_PROXY: proxy.url, UPSTREAM_TIMEOUT_MS: '50' };
  const { query, causes } = await startGatewayOver(t, 'https://tenant.example.test', env);
  const [error] = (await query(LIST)).errors ?? [];
  assert.equal(error?.extensions['code'], 'UPSTREAM_TIMEOUT');
  assert.deepEqual(
    causes(),
    Array.from({ length: 4 }, () => 'no complete answer within 50 ms'),
  );
  // A connection that an attempt has waited for in vain is not waited for by others.
  assert.equal(proxy.targets.length, 4);
});

test('a proxy that is down is logged with its address', async t => {
  const env = { HTTPS_PROXY: 'http://user:password@127.0.0.1:1' };
  const { query, causes, log } = await startGatewayOver(t, 'https://tenant.example.test', env);
  await query(LIST);
  assert.match(causes()[0] ?? '', /^the connection was refused \(127\.0\.0\.1:1\)$/);
  assert.ok(!JSON.stringify(log.lines).includes('password'));
});

test('plain HTTP requests go to the proxy without a tunnel', async t => {
  const upstream = await startHostileUpstream(t);
  const proxy = await startProxy(t, upstream.port);
  const { query } = await startGatewayOver(t, 'http://tenant.example.test', {
    HTTP_PROXY: proxy.url,
  });
  assert.equal((await query(LIST)).errors, undefined);
  assert.deepEqual(
    [...new Set(proxy.targets)],
    ['POST http://tenant.example.test', 'GET http://tenant.example.test'],
  );
});
