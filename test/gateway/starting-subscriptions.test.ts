import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { createCapturedLog } from '../support/captured-log.ts';
import { startIssuer } from '../support/issuer.ts';
import { startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

// What clients do while a known subscription starts.
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id } }';

async function openSocket(t: TestContext, url: string, headers: Record<string, string> = {}) {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws', { headers });
  t.after(() => socket.terminate());
  const messages: { id?: string; type: string; payload?: any }[] = [];
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString())));
  await once(socket, 'open');
  socket.send('{"type":"connection_init"}');
  await until(() => messages.length === 1);
  const send = (message: object) => socket.send(JSON.stringify(message));
  const start = (id: string, task: string) =>
    send({ id, type: 'subscribe', payload: { query: PROGRESS, variables: { id: task } } });
  const of = (id: string) => messages.filter(message => message.id === id);
  return { socket, send, start, of };
}

test('ws: an id that is used again at once gets the results of its second subscription', async t => {
  const { tenant, url } = await startGateway(t);
  const [first = '', second = ''] = tenant.addTasks(2, LASTING);
  const { socket, send, start, of } = await openSocket(t, url);
  start('known', first);
  await until(() => of('known').length === 1);
  // The gateway receives all three at once.
  const { _socket: below } = socket as unknown as { _socket: Socket };
  below.cork();
  start('a', first);
  send({ id: 'a', type: 'complete' });
  start('a', second);
  below.uncork();
  await until(() => of('a').length > 0);
  tenant.finish(second);
  await until(() => of('a').at(-1)?.type === 'complete');
  const ids = of('a').flatMap(({ payload }) => payload?.data.taskProgress.id ?? []);
  assert.deepEqual(ids, [second, second]);
});

test('ws: a subscription does not start once its client has left', async t => {
  const log = createCapturedLog();
  const issuer = await startIssuer(t);
  const { tenant, url } = await startGateway(t, {
    log,
    env: { JWKS_URL: issuer.jwksUrl, JWT_ISSUER: issuer.issuer, JWT_AUDIENCE: 'gateway' },
  });
  const [id = ''] = tenant.addTasks(1, LASTING);
  const headers = { authorization: `Bearer ${await issuer.sign()}` };
  const staying = await openSocket(t, url, headers);
  staying.start('a', id);
  await until(() => staying.of('a').length === 1);
  const leaving = await openSocket(t, url, headers);
  let decide = (_isValid: boolean) => {};
  const isValid = new Promise<boolean>(resolve => (decide = resolve));
  const verify = t.mock.method(crypto.subtle, 'verify', () => isValid);
  leaving.start('a', id);
  await until(() => verify.mock.callCount() === 1);
  leaving.socket.close();
  await once(leaving.socket, 'close');
  decide(true);
  staying.start('b', id);
  await until(() => staying.of('b').length === 1);
  assert.equal(log.lines.filter(({ message }) => message === 'subscription started').length, 2);
});

test('sse: bodies of clients that leave before they end take no space, and are noted as such', async t => {
  const log = createCapturedLog();
  const { tenant, url } = await startGateway(t, { log, env: { MAX_BODY_BYTES: '41943040' } });
  const [id = ''] = tenant.addTasks(1, LASTING);
  const { hostname, port } = new URL(url);
  const half = Buffer.alloc(16_000_000, ' ');
  // Together they would take more than the space for all requests.
  for (let count = 0; count < 5; count++) {
    const socket = connect(Number(port), hostname);
    t.after(() => socket.destroy());
    socket.write(
      `POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: ${2 * half.length}\r\n\r\n`,
    );
    await new Promise(resolve => socket.write(half, resolve));
    socket.end();
    await once(socket.resume(), 'close');
  }
  const codes = () =>
    log.lines.filter(({ message }) => message === 'operation').map(line => String(line['codes']));
  await until(() => codes().length === 5);
  assert.deepEqual(new Set(codes()), new Set(['ABORTED']));
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: `{ taskStatus(id: "${id}") { id } }` }) + ' '.repeat(4_000_000),
  });
  assert.equal(response.status, 200);
});

test('ws: a long message without a subscription does not hold up the gateway', async t => {
  const { url } = await startGateway(t, { env: { MAX_BODY_BYTES: '4194304' } });
  const { socket } = await openSocket(t, url);
  const answered = once(socket, 'message');
  socket.send(JSON.stringify({ type: 'ping', payload: { text: 'subscription '.repeat(320_000) } }));
  await answered;
});

for (const state of ['known', 'unknown'])
  test(`ws: a socket whose ${state} subscription starts during the shutdown is closed once it has`, async t => {
    const issuer = await startIssuer(t);
    const { tenant, gateway, url } = await startGateway(t, {
      env: { JWKS_URL: issuer.jwksUrl, JWT_ISSUER: issuer.issuer, JWT_AUDIENCE: 'gateway' },
    });
    const [id = ''] = tenant.addTasks(1, LASTING);
    const headers = { authorization: `Bearer ${await issuer.sign()}` };
    const { socket, start, of } = await openSocket(t, url, headers);
    if (state === 'known') {
      start('before', id);
      await until(() => of('before').length === 1);
    }
    let decide = (_isValid: boolean) => {};
    const isValid = new Promise<boolean>(resolve => (decide = resolve));
    const verify = t.mock.method(crypto.subtle, 'verify', () => isValid);
    start('a', id);
    await until(() => verify.mock.callCount() === 1);
    const other = await openSocket(t, url);
    const closed = gateway.close();
    await once(other.socket, 'close');
    const gone = once(socket, 'close');
    decide(true);
    const [code] = await gone;
    assert.equal(code, 1001);
    await closed;
  });
