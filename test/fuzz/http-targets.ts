import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { connect } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import type { Random } from '../../src/sandbox/random.ts';
import { anyOperation } from './documents.ts';
import { type FuzzTarget, assertCoded } from './fuzz-target.ts';
import { openFuzzedGateway } from './fuzzed-gateway.ts';
import { anyJson, anyText, mutateBytes, mutateText } from './inputs.ts';

const ACCEPTS = [
  'application/json', '*/*', 'application/graphql-response+json', 'application/graphql-response+json, application/json;q=0.9',
  'text/html', 'application/*', ';', ',', 'application/json;q=nonsense', 'text/plain, */*;q=0', 'multipart/mixed',
]; // oxfmt-ignore
const TYPES = ['application/json', 'application/json; charset=utf-8', 'application/json;charset="latin1"', 'text/plain', 'application/graphql', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded', ';', 'x']; // oxfmt-ignore
const ENCODINGS: Record<string, (body: Buffer) => Buffer> = {
  identity: body => body,
  gzip: body => gzipSync(body, { level: 1 }),
  deflate: body => deflateSync(body, { level: 1 }),
  br: brotliCompressSync,
  'gzip, br': body => body,
  zstd: body => body,
};
const HEADERS = ['authorization', 'origin', 'x-forwarded-for', 'forwarded', 'cache-control', 'apollo-require-preflight', 'x-graphql-event-stream-token', 'apollo-federation-include-trace', 'cookie', 'x-request-id', 'traceparent', 'range', 'if-match', 'te', 'via']; // oxfmt-ignore
const PATHS = [
  '/graphql',
  '/graphql',
  '/graphql',
  '/graphql',
  '/graphql/stream',
  '/graphql/',
  '/health/ready',
  '/',
  '/%2e%2e/graphql',
  '/graphql/../x',
  '//',
  '/graphql/x',
];
/** Statuses above 499 that say nothing about a fault. */
const REFUSING = new Set([503]);

interface HttpInput {
  method: string;
  path: string;
  headers: OutgoingHttpHeaders;
  body: Buffer;
}

/** Requests that are framed as they should be: whatever is in them, there is an answer. */
const requests: FuzzTarget = {
  name: 'http requests',
  share: 150,
  async open(lifetime) {
    const gateway = await openFuzzedGateway(lifetime);
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    lifetime.after(() => agent.destroy());
    const run = async (random: Random) => {
      const inputs = Array.from({ length: 8 }, () => anyRequest(random, gateway.id));
      await Promise.all(inputs.map(input => check(input)));
      return inputs.length;
    };
    return { run, checkHealth: gateway.checkHealth };

    async function check({ method, path, headers, body }: HttpInput): Promise<void> {
      const outgoing = request({
        host: gateway.hostname,
        port: gateway.port,
        agent,
        method,
        path,
        headers,
      });
      outgoing.end(body);
      const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
      const text = await readAnswer(incoming);
      const { statusCode = 0 } = incoming;
      const input = [
        method,
        path,
        headers,
        body.toString().slice(0, 500),
        statusCode,
        text.slice(0, 300),
      ];
      assert.ok(statusCode < 500 || REFUSING.has(statusCode), JSON.stringify(input));
      // It says in a form of its own whether upstream answers, which is not for the input to
      // decide.
      if (statusCode === 503 && path.startsWith('/health/ready')) return;
      if (statusCode >= 400 && method !== 'HEAD') assertCoded(errorsOf(text), input);
      assert.ok(!text.includes('INTERNAL_SERVER_ERROR'), JSON.stringify(input));
    }
  },
};

function anyRequest(random: Random, id: string): HttpInput {
  const operation = anyOperation(random, id, random.chance(0.9) ? 'query' : undefined);
  const method = random.pick([
    'POST',
    'POST',
    'POST',
    'GET',
    'PUT',
    'DELETE',
    'OPTIONS',
    'HEAD',
    'PATCH',
    'PROPFIND',
  ]);
  const headers: OutgoingHttpHeaders = {
    accept: random.chance(0.7) ? 'application/json' : random.pick([...ACCEPTS, headerText(random)]),
  };
  for (let count = random.between(0, 2); count > 0; count--)
    headers[random.pick(HEADERS)] = headerText(random);
  if (random.chance(0.05)) headers['host'] = headerText(random);
  if (random.chance(0.05)) headers['cache-control'] = 'no-cache';
  if (method === 'GET' || random.chance(0.1)) {
    const members = Object.entries(operation).map(
      ([name, value]) =>
        `${encodeURIComponent(name.toWellFormed())}=${encodeURIComponent((typeof value === 'string' ? value : (JSON.stringify(value) ?? '')).toWellFormed())}`,
    );
    const search = random.chance(0.8)
      ? members.join('&')
      : asciiOf(mutateText(random, members.join('&')));
    return {
      method,
      path: `${random.pick(PATHS)}?${search}`.slice(0, 12_000),
      headers,
      body: Buffer.alloc(0),
    };
  }
  headers['content-type'] = random.chance(0.85) ? 'application/json' : random.pick(TYPES);
  const text = JSON.stringify(random.chance(0.95) ? operation : anyJson(random));
  const plain = Buffer.from(random.chance(0.8) ? text : mutateText(random, text));
  const encoding = random.chance(0.8) ? 'identity' : random.pick(Object.keys(ENCODINGS));
  if (encoding !== 'identity') headers['content-encoding'] = encoding;
  const encoded = ENCODINGS[encoding]!(plain);
  const body = random.chance(0.9) ? encoded : mutateBytes(random, encoded);
  if (random.chance(0.5)) headers['content-length'] = body.length;
  else headers['transfer-encoding'] = 'chunked';
  return { method, path: random.pick(PATHS), headers, body };
}

/** The whole answer; of a stream that may have no end, the first part. */
async function readAnswer(incoming: IncomingMessage): Promise<string> {
  const isStream = /^(text\/event-stream|multipart)/.test(incoming.headers['content-type'] ?? '');
  let text = '';
  for await (const chunk of incoming.setEncoding('utf8')) {
    text += chunk;
    if (isStream) break;
  }
  return text;
}

/** The errors of an answer, however it is framed. */
function errorsOf(text: string): unknown {
  const [json] = /\{"errors":.*\}/.exec(text) ?? [text];
  return JSON.parse(json).errors;
}

/** A text that a header may hold. */
function headerText(random: Random): string {
  return random.pick([
    () => asciiOf(anyText(random, 30)),
    () => `Bearer ${asciiOf(anyText(random, 30))}`,
    () => 'https://evil.example',
    () => 'null',
    () => 'x'.repeat(random.between(0, 4_000)),
  ])();
}

function asciiOf(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, '~');
}

const TEMPLATE =
  'POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: */*\r\n';
const BODY = '{"query":"{ __typename }"}';
const RAW = [
  `${TEMPLATE}Content-Length: ${BODY.length}\r\n\r\n${BODY}`,
  `${TEMPLATE}Transfer-Encoding: chunked\r\n\r\n${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`,
  `${TEMPLATE}Expect: 100-continue\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
  'GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: localhost\r\n\r\n',
  'GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n',
  'POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\nContent-Length: 0\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
];

/** Bytes that are hardly HTTP any more: the connection ends, and every refusal on it has a code. */
const bytes: FuzzTarget = {
  name: 'http bytes',
  share: 100,
  async open(lifetime) {
    const gateway = await openFuzzedGateway(lifetime);
    return {
      checkHealth: gateway.checkHealth,
      async run(random) {
        const inputs = Array.from({ length: 8 }, () =>
          mutateBytes(random, Buffer.from(random.pick(RAW))),
        );
        await Promise.all(inputs.map(input => exchange(input)));
        return inputs.length;
      },
    };

    async function exchange(input: Buffer): Promise<void> {
      const socket = connect({ port: gateway.port, host: gateway.hostname, allowHalfOpen: true });
      let received = '';
      socket.on('data', data => (received += data.toString('latin1')));
      // It may be reset, for what follows the end of an exchange.
      socket.on('error', () => {});
      // Ends it on its side too: whether more was to come is not for the gateway to wait for.
      socket.end(input);
      socket.once('end', () => socket.destroy());
      if (!socket.destroyed) await new Promise(resolve => socket.once('close', resolve));
      assert.ok(
        !/^HTTP\/1.1 5(?!03)/m.test(received),
        JSON.stringify([input.toString('latin1'), received]),
      );
      for (const [, status, , body] of received.matchAll(
        /HTTP\/1\.1 (4\d\d) [^\r]*\r\n((?:[^\r]+\r\n)+)\r\n([^]*?)(?=HTTP\/1\.1|$)/g,
      ))
        assert.match(
          body ?? '',
          /"code":"[A-Z_]+"/,
          JSON.stringify([input.toString('latin1'), status, received]),
        );
    }
  },
};

export const HTTP_TARGETS: readonly FuzzTarget[] = [requests, bytes];
