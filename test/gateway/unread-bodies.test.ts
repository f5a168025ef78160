import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { openConnection } from '../support/raw-connection.ts';
import { startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const GOOD_BODY = '{"query":"{ __typename }"}';
const head = (target: string, headers: Record<string, string>, method = 'POST') =>
  `${method} ${target} HTTP/1.1\r\n${Object.entries({
    host: 'localhost',
    'content-type': 'application/json',
    ...headers,
  })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('')}\r\n`;
const GOOD_REQUEST = head('/graphql', { 'content-length': String(GOOD_BODY.length) }) + GOOD_BODY;

/** Requests that are refused, most of them before their body is read. */
const REFUSED: Record<
  string,
  { status: number; target?: string; method?: string; headers?: Record<string, string> }
> = {
  'a type that it is not answered in': { status: 406, headers: { accept: 'text/html' } },
  'a body of another type': { status: 415, headers: { 'content-type': 'text/plain' } },
  'a body of an unknown encoding': { status: 415, headers: { 'content-encoding': 'zstd' } },
  'a body that is too large or no JSON': { status: 400 },
  'a method that GraphQL has no use for': { status: 405, method: 'PATCH' },
  'a path that does not exist': { status: 404, target: '/nope' },
  'a foreign host': { status: 403, headers: { host: 'evil.example' } },
  'a stream that is not reserved': { status: 404, target: '/graphql/stream?token=x' },
};

const SIZES = { small: 2_000, large: 3_000_000 };
const CHUNK = 50_000;

const SENDINGS: Record<
  string,
  (size: number) => { headers: Record<string, string>; body: string }
> = {
  'with its length': size => ({
    headers: { 'content-length': String(size) },
    body: 'x'.repeat(size),
  }),
  'in chunks': size => {
    const length = Math.min(size, CHUNK);
    const chunk = `${length.toString(16)}\r\n${'x'.repeat(length)}\r\n`;
    return {
      headers: { 'transfer-encoding': 'chunked' },
      body: `${chunk.repeat(size / length)}0\r\n\r\n`,
    };
  },
  'after 100 Continue': size => ({
    headers: { 'content-length': String(size), expect: '100-continue' },
    body: 'x'.repeat(size),
  }),
};

for (const [sending, make] of Object.entries(SENDINGS))
  for (const [name, size] of Object.entries(SIZES))
    for (const isLate of [false, true])
      test(`${name} body sent ${sending}, ${isLate ? 'late' : 'at once'}: a refusal arrives, and the next request on the connection is served`, async t => {
        const { url } = await startGateway(t);
        for (const [why, { status, target = '/graphql', method, headers: more }] of Object.entries(
          REFUSED,
        )) {
          const { headers, body } = make(size);
          const connection = await openConnection(t, url);
          connection.write(head(target, { ...headers, ...more }, method));
          // What is refused for its body alone cannot be refused before that is sent.
          const isRefusedEarly =
            status !== 400 || (size === SIZES.large && 'content-length' in headers);
          if (isLate && !isRefusedEarly) continue;
          if (!isLate) connection.write(body);
          const { status: actual, headers: answered, body: text } = await connection.answer();
          if (isLate) connection.write(body);
          const expected = status === 400 && size === SIZES.large ? 413 : status;
          assert.equal(actual, expected, why);
          const [{ extensions }] = JSON.parse(text).errors;
          assert.equal(typeof extensions.code, 'string', why);
          assert.notEqual(answered['connection'], 'close', why);
          connection.write(GOOD_REQUEST);
          const next = await connection.answer();
          assert.deepEqual(
            [next.status, JSON.parse(next.body).data.__typename],
            [200, 'Query'],
            why,
          );
          assert.equal(connection.failure(), null, why);
          connection.socket.destroy();
        }
      });

const LARGE_BODY = Buffer.alloc(8_000_000, 'x');

/**
 * Posts the chunks with each client, or one chunk with its length; gives status and code of the
 * answer.
 */
const CLIENTS: Record<string, (url: string, chunks: Buffer[]) => Promise<unknown[]>> = {
  async undici(url, chunks) {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: chunks.length === 1 ? chunks[0] : Readable.toWeb(Readable.from(chunks)),
      duplex: 'half',
    } as RequestInit);
    return [response.status, (await response.json()).errors?.[0].extensions.code];
  },
  async 'node:http'(url, chunks) {
    const headers = { 'content-type': 'application/json' };
    const outgoing = request(url, { method: 'POST', agent: AGENT, headers });
    const incoming = once(outgoing, 'response');
    for (const chunk of chunks.slice(0, -1)) outgoing.write(chunk);
    outgoing.end(chunks.at(-1));
    const [response] = (await incoming) as [IncomingMessage];
    const text = (await response.setEncoding('utf8').toArray()).join('');
    return [response.statusCode, JSON.parse(text).errors?.[0].extensions.code];
  },
};
const AGENT = new Agent({ keepAlive: true, maxSockets: 1 });

for (const [client, post] of Object.entries(CLIENTS))
  test(`${client}: bodies that are too large are each refused with 413, and the next ones are served`, async t => {
    const { url } = await startGateway(t);
    t.after(() => AGENT.destroy());
    const half = LARGE_BODY.subarray(0, LARGE_BODY.length / 2);
    for (let count = 0; count < 5; count++)
      for (const chunks of [[LARGE_BODY], [half, half]]) {
        assert.deepEqual(await post(url, chunks), [413, 'BAD_USER_INPUT']);
        assert.deepEqual(await post(url, [Buffer.from(GOOD_BODY)]), [200, undefined]);
      }
  });

const HAS_CURL = spawnSync('curl', ['--version']).status === 0;

test(
  'curl: a body that is too large is refused with 413, with and without Expect, and the next one is served',
  { skip: HAS_CURL ? false : 'SKIPPED: there is no curl on this machine' },
  async t => {
    const { url } = await startGateway(t);
    for (const more of [[], ['-H', 'Expect: 100-continue'], ['-H', 'Transfer-Encoding: chunked']]) {
      const common = ['-s', '-o', '/dev/null', '-w', '%{http_code} ', ...more];
      const args = [...common, '-H', 'content-type: application/json', '--data-binary', '@-', url];
      const next = ['--next', '-s', '-d', GOOD_BODY, '-H', 'content-type: application/json', url];
      const child = spawn('curl', [...args, ...next]);
      child.stdin.on('error', () => {});
      child.stdin.end(LARGE_BODY);
      const printed = (await child.stdout.setEncoding('utf8').toArray()).join('');
      assert.equal(printed, '413 {"data":{"__typename":"Query"}}', more.join(' '));
    }
  },
);

/** What Node or the limits of connections refuse: the connection ends with it. */
const ENDED: Record<string, { status: number; env?: Record<string, string>; text: string }> = {
  'a connection too many': {
    status: 503,
    env: { MAX_CONNECTIONS: '1' },
    text: head('/graphql', { 'content-length': String(SIZES.large) }) + 'x'.repeat(SIZES.large),
  },
  'headers that are too large': {
    status: 431,
    text: head('/graphql', { cookie: 'x'.repeat(SIZES.large) }),
  },
  'what is no HTTP': { status: 400, text: `no HTTP\r\n${'x'.repeat(SIZES.large)}` },
};

for (const [name, { status, env = {}, text }] of Object.entries(ENDED))
  test(`${name}: what the client sends after the refusal does not reset the connection, which ends with it`, async t => {
    const { url } = await startGateway(t, { env });
    if (status === 503) await openConnection(t, url);
    const connection = await openConnection(t, url);
    connection.write(text);
    const { status: actual, headers, body } = await connection.answer();
    assert.deepEqual([actual, headers['connection']], [status, 'close']);
    assert.equal(typeof JSON.parse(body).errors[0].extensions.code, 'string');
    await until(connection.hasEnded);
    for (let count = 0; count < 5; count++)
      await new Promise(resolve => connection.socket.write(Buffer.alloc(100_000), resolve));
    assert.equal(connection.failure(), null);
    connection.socket.end();
    await once(connection.socket, 'close');
    assert.equal(connection.failure(), null);
  });

test('a client that does not stop sending after a refusal that ends the connection is cut off', async t => {
  const { url } = await startGateway(t);
  const connection = await openConnection(t, url);
  connection.write('no HTTP\r\n\r\n');
  assert.equal((await connection.answer()).status, 400);
  const sending = setInterval(() => connection.write('x'), 10);
  t.after(() => clearInterval(sending));
  await until(() => connection.failure() !== null);
});
