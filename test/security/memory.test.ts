import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { parse } from 'graphql';
import { WebSocket } from 'ws';
import { createDocumentCaches } from '../../src/http/plugins/documents.ts';
import { startGateway } from '../support/start.ts';
import { SEND } from '../support/transports.ts';

const LONG = 'x'.repeat(250_000);
const MEGABYTE = Buffer.alloc(1_000_000);
const SMALL = { query: '{ __typename }' };
const LARGE = { query: `{ __typename } # ${LONG}` };
const ANSWER = '{"data":{"__typename":"Query"}}';
/** As many as together have more bytes than requests under way may have. */
const ENOUGH = 270;

test('documents are kept by their bytes: long texts of few tokens do not fill the memory', () => {
  const { documentCache } = createDocumentCaches();
  for (let count = 0; count < 1_000; count++)
    documentCache.set(`{ __typename } # ${count} ${LONG}`, parse('{ __typename }'));
  assert.ok(documentCache.size < 200, `${documentCache.size} of 250 kB are kept`);
});

/** Keeps a connection open on which a body does not end. */
async function sendUnfinishedBody(t: TestContext, url: string) {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  let answer = '';
  socket.on('data', (data: Buffer) => (answer += data.toString()));
  const head =
    'POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 262000\r\n\r\n';
  await new Promise(resolve => socket.write(head + LONG, resolve));
  return { socket, answer: () => answer };
}

test('while bodies that do not end take too much memory, short requests are served, and long ones are refused with a code', async t => {
  const { url } = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
  const slow = await Promise.all(Array.from({ length: ENOUGH }, () => sendUnfinishedBody(t, url)));
  let refused = await SEND.POST(url, LARGE, 'Bearer a');
  while (refused.status !== 503) refused = await SEND.POST(url, LARGE, 'Bearer a');
  assert.deepEqual(refused.codes, ['RATE_LIMITED']);
  assert.equal((await SEND.POST(url, SMALL, 'Bearer a')).text, ANSWER);

  for (const { socket } of slow) socket.destroy();
  while ((await SEND.POST(url, LARGE, 'Bearer a')).text !== ANSWER);
});

test('while messages that do not end take too much memory, their sockets are closed, and short operations are served', async t => {
  const { url } = await startGateway(t);
  const codes: number[] = [];
  const sockets = await Promise.all(
    Array.from({ length: ENOUGH }, async () => {
      const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
      t.after(() => socket.terminate());
      socket.on('error', () => {}).on('close', code => codes.push(code));
      await once(socket, 'open');
      socket.send('{"type":"connection_init"}');
      await once(socket, 'message');
      socket.send(LONG, { fin: false });
      return socket;
    }),
  );
  // Each is asked whether it is still there once all that it sent has been read.
  await Promise.all(
    sockets.map(async socket => {
      if (socket.readyState !== WebSocket.OPEN) return;
      socket.ping();
      await Promise.race([once(socket, 'pong'), once(socket, 'close')]);
    }),
  );
  while (codes.length === 0) await new Promise(setImmediate);
  assert.deepEqual([...new Set(codes)], [1013]);
  assert.equal(
    (await SEND.WebSocket(url, SMALL)).text,
    `{"id":"1","type":"next","payload":${ANSWER}}`,
  );
});

test('while the operations of a single-connection stream take too much memory, long ones are refused', async t => {
  const { url, tenant } = await startGateway(t, {
    env: { MAX_SUBSCRIPTIONS_PER_CREDENTIAL: '1000' },
  });
  const id = tenant.addTask({ queueMs: 0, runMs: 86_400_000 });
  const token = await (await fetch(`${url}/stream`, { method: 'PUT' })).text();
  const headers = { 'content-type': 'application/json', 'x-graphql-event-stream-token': token };
  const stream = await fetch(`${url}/stream`, { headers });
  t.after(() => stream.body?.cancel());
  const start = async (operationId: string, comment: string) => {
    const body = JSON.stringify({
      query: `subscription ($id: ID!) { taskProgress(id: $id) { id } } # ${comment}`,
      variables: { id },
      extensions: { operationId },
    });
    const response = await fetch(`${url}/stream`, { method: 'POST', headers, body });
    return { status: response.status, text: await response.text() };
  };
  let started = 0;
  let last = await start('0', LONG);
  for (; last.status === 202 && started < ENOUGH; started++)
    last = await start(`${started + 1}`, LONG);
  assert.equal(last.status, 503);
  assert.match(last.text, /"code":"RATE_LIMITED"/);
  assert.equal((await start('short', '')).status, 202);

  await fetch(`${url}/stream?operationId=0`, { method: 'DELETE', headers });
  assert.equal((await start('0', LONG)).status, 202);
});

test('while subscriptions over callbacks take too much memory, long ones are refused', async t => {
  const { url, tenant } = await startGateway(t, {
    env: { MAX_SUBSCRIPTIONS_PER_CREDENTIAL: '1000', SUBSCRIPTION_CALLBACK_HOSTS: '127.0.0.1' },
  });
  const router = createServer((request, response) =>
    request.resume().on('end', () => response.writeHead(204).end()),
  );
  router.listen(0, '127.0.0.1');
  await once(router, 'listening');
  t.after(() => router.close().closeAllConnections());
  const { port } = router.address() as AddressInfo;
  const id = tenant.addTask({ queueMs: 0, runMs: 86_400_000 });
  const start = async (comment: string) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json;callbackSpec=1.0' },
      body: JSON.stringify({
        query: `subscription ($id: ID!) { taskProgress(id: $id) { id } } # ${comment}`,
        variables: { id },
        extensions: {
          subscription: {
            callbackUrl: `http://127.0.0.1:${port}/`,
            subscriptionId: 's',
            verifier: 'v',
          },
        },
      }),
    });
    return { status: response.status, text: await response.text() };
  };
  let started = 0;
  let last = await start(LONG);
  for (; last.status === 200 && started < ENOUGH; started++) last = await start(LONG);
  assert.equal(last.status, 503);
  assert.match(last.text, /"code":"RATE_LIMITED"/);
  assert.equal((await start('')).status, 200);

  tenant.finish(id);
  while ((await start(LONG)).status !== 200);
});

test('a WebSocket keeps nothing of connection_init but its headers, and is closed with 1009 if that is long', async t => {
  const { url } = await startGateway(t);
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  t.after(() => socket.terminate());
  await once(socket, 'open');
  socket.send(JSON.stringify({ type: 'connection_init', payload: { more: 'x'.repeat(17_000) } }));
  assert.equal((await once(socket, 'close'))[0], 1009);
});

test('before connection_init, a WebSocket is closed with 1009 at the first bytes that are too many', async t => {
  const { url } = await startGateway(t);
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  t.after(() => socket.terminate());
  await once(socket, 'open');
  socket.send('x'.repeat(17_000), { fin: false });
  assert.deepEqual((await once(socket, 'close')).map(String), [
    '1009',
    'connection_init is too long',
  ]);
});

for (const [what, first] of [
  ['too much before connection_init', 'x'.repeat(17_000)],
  ['an invalid message', 'x'],
] as const)
  test(`a WebSocket that was closed for ${what} is not read on`, async t => {
    const { url } = await startGateway(t);
    const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
    t.after(() => socket.terminate());
    socket.on('error', () => {});
    await once(socket, 'open');
    const raw = (socket as unknown as { _socket: Socket })._socket;
    raw.pause();
    socket.send(first);
    let taken = 0;
    const flood = () => {
      taken += MEGABYTE.length;
      if (raw.writable) raw.write(MEGABYTE, flood);
    };
    raw.write(MEGABYTE, flood);
    await new Promise(resolve => raw.once('close', resolve));
    // What the operating system keeps for those who do not read.
    assert.ok(taken < 64_000_000, `${taken} bytes were taken`);
  });

test('a WebSocket on which messages come and go takes no room that others need', async t => {
  const { url } = await startGateway(t, { env: { MAX_MESSAGES_PER_SECOND: '1000000' } });
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  t.after(() => socket.terminate());
  await once(socket, 'open');
  socket.send('{"type":"connection_init"}');
  await once(socket, 'message');
  // More than all requests may have at once, were it added up.
  for (let count = 0; count < 300; count++) {
    socket.send(JSON.stringify({ type: 'ping', payload: { x: LONG } }));
    await once(socket, 'message');
    socket.ping('x'.repeat(125));
    socket.pong();
  }
  assert.equal(socket.readyState, WebSocket.OPEN);
});

test('the body of a request without a token is not waited for', async t => {
  const { url } = await startGateway(t, {
    env: { AUTH_MODE: 'passthrough', INTROSPECTION: 'false' },
  });
  const { socket, answer } = await sendUnfinishedBody(t, url);
  await once(socket, 'data');
  assert.match(answer(), /^HTTP\/1.1 401 [^]*"code":"UNAUTHENTICATED"/);
});
