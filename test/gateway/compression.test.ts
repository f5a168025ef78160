import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { sendRequest } from '../support/raw-request.ts';
import { startGateway } from '../support/start.ts';

const LIST = '{ taskStatuses(first: 50) { nodes { id uniqueName } } }';
const DECODE = { gzip: gunzipSync, br: brotliDecompressSync };
const ACCEPTED: [header: string, coding: 'gzip' | 'br' | undefined][] = [
  ['gzip', 'gzip'],
  ['gzip, deflate, br', 'br'],
  ['GZIP;q=1.0, br;q=0.5', 'gzip'],
  ['br;q=0, *', 'gzip'],
  ['*', 'br'],
  ['gzip;q=0', undefined],
  ['identity', undefined],
  ['', undefined],
];

/** Posts a query, or gets the page if there is none. */
function send(url: string, headers: Record<string, string>, query: string | null = null) {
  if (query === null) return sendRequest(url, { headers });
  return sendRequest(url, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
  });
}

async function startWithTasks(t: TestContext, env: Record<string, string> = {}) {
  const gateway = await startGateway(t, { env });
  return { ...gateway, ids: gateway.tenant.addTasks(50) };
}

test('a large result is compressed as the client prefers', async t => {
  const { url } = await startWithTasks(t);
  const plain = await send(url, {}, LIST);
  assert.ok(plain.body.length > 1_024);
  for (const [header, coding] of ACCEPTED) {
    const { headers, body } = await send(url, { 'accept-encoding': header }, LIST);
    assert.equal(headers['content-encoding'], coding, header);
    assert.equal(headers['content-length'], String(body.length));
    assert.equal(headers.vary, 'Accept-Encoding');
    const decoded = coding === undefined ? body : DECODE[coding](body);
    assert.deepEqual(JSON.parse(decoded.toString()), JSON.parse(plain.body.toString()), header);
    if (coding !== undefined) assert.ok(body.length < plain.body.length / 2);
    const got = await send(`${url}?query=${encodeURIComponent(LIST)}`, {
      'accept-encoding': header,
      accept: 'application/json',
    });
    assert.equal(got.headers['content-encoding'], coding, `GET ${header}`);
    assert.deepEqual(got.body, body);
  }
});

test('a small result is not compressed, but caches learn that others are', async t => {
  const { url } = await startWithTasks(t);
  const { headers, body } = await send(url, { 'accept-encoding': 'br, gzip' }, '{ __typename }');
  assert.equal(headers['content-encoding'], undefined);
  assert.equal(headers.vary, 'Accept-Encoding');
  assert.equal(body.toString(), '{"data":{"__typename":"Query"}}');
});

for (const env of [{}, { METRICS_PORT: '0' }] as Record<string, string>[])
  test(`the metrics are compressed (${Object.keys(env).join() || 'on the same port'})`, async t => {
    const { gateway } = await startWithTasks(t, env);
    const { headers, body } = await send(gateway.metricsUrl, { 'accept-encoding': 'gzip' });
    assert.equal(headers['content-encoding'], 'gzip');
    assert.equal(headers['content-length'], String(body.length));
    assert.match(gunzipSync(body).toString(), /^# HELP /);
  });

test('a large refusal keeps its status and its headers when it is compressed', async t => {
  const { url } = await startWithTasks(t, { CORS_ORIGINS: 'https://app.example' });
  const fields = Array.from({ length: 40 }, (_, place) => `unknownField${place}`).join(' ');
  const { status, headers, body } = await send(
    url,
    {
      'accept-encoding': 'gzip',
      accept: 'application/graphql-response+json',
      origin: 'https://app.example',
    },
    `{ ${fields} }`,
  );
  assert.equal(status, 400);
  assert.equal(headers['content-encoding'], 'gzip');
  assert.equal(headers.vary, 'Accept-Encoding, Origin');
  assert.equal(headers['access-control-allow-origin'], 'https://app.example');
  assert.equal(JSON.parse(gunzipSync(body).toString()).errors[0].extensions.code, 'BAD_USER_INPUT');
});

for (const accept of ['text/event-stream', 'multipart/mixed;subscriptionSpec=1.0'])
  test(`a stream (${accept}) is never compressed`, async t => {
    const { url, ids, tenant } = await startWithTasks(t);
    const [id = ''] = ids;
    tenant.finish(id);
    const { headers, body } = await send(
      url,
      { accept, 'accept-encoding': 'gzip, br' },
      `subscription { taskProgress(id: "${id}") { id state } }`,
    );
    assert.notEqual(headers['content-encoding'], 'gzip');
    assert.notEqual(headers['content-encoding'], 'br');
    assert.match(body.toString(), /"state":"COMPLETED"/);
  });

test('GraphiQL is compressed, and a browser that has it already gets 304', async t => {
  const { url } = await startWithTasks(t);
  const html = { accept: 'text/html' };
  const plain = await send(url, html);
  for (const coding of ['gzip', 'br'] as const) {
    const page = await send(url, { ...html, 'accept-encoding': coding });
    assert.equal(page.headers['content-encoding'], coding);
    assert.ok(page.body.length < plain.body.length);
    assert.deepEqual(DECODE[coding](page.body), plain.body);
    assert.notEqual(page.headers.etag, plain.headers.etag);

    const known = {
      ...html,
      'accept-encoding': coding,
      'if-none-match': `"x", W/${page.headers.etag}`,
    };
    const again = await send(url, known);
    assert.equal(again.status, 304);
    assert.equal(again.body.length, 0);
    assert.equal(again.headers.etag, page.headers.etag);
    assert.equal((await send(url, { ...known, 'if-none-match': '"x"' })).status, 200);
  }
});
