import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { Heartbeats } from '../../src/http/transports/heartbeats.ts';
import { createCapturedLog } from '../support/captured-log.ts';
import { startIssuer } from '../support/issuer.ts';
import { startGateway } from '../support/start.ts';
import { TRANSPORTS, subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

// A subscription whose document was subscribed to before starts without Yoga and graphql-ws. Nobody
// may notice.
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id completionStatus } }';
const TWO = 'query Q { __typename } subscription S($id: ID!) { taskProgress(id: $id) { id } }';
const CHANGES =
  'subscription ($filter: TaskStatusFilter) { taskStatusChanged(filter: $filter) { kind } }';

interface Operation {
  query: string;
  variables?: unknown;
  operationName?: unknown;
  extensions?: unknown;
}

/** The whole response to a subscription over SSE. `onText` is called with what has arrived. */
async function readStream(
  url: string,
  operation: Operation,
  { headers = {}, onText = () => {} }: StreamOptions = {},
) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { accept: 'text/event-stream', 'content-type': 'application/json', ...headers },
    body: JSON.stringify(operation),
  });
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    onText(text);
  }
  const { date: _, 'x-request-id': id, ...others } = Object.fromEntries(response.headers);
  return { status: response.status, headers: others, hasRequestId: id !== undefined, text };
}

interface StreamOptions {
  headers?: Record<string, string>;
  onText?: (text: string) => void;
}

async function openSocket(t: TestContext, url: string, payload?: { authorization: string }) {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  t.after(() => socket.terminate());
  const messages: { id?: string; type: string; payload?: unknown }[] = [];
  await once(socket, 'open');
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString())));
  socket.send(JSON.stringify({ type: 'connection_init', payload }));
  await until(() => messages.length === 1);
  const send = (message: object) => socket.send(JSON.stringify(message));
  const start = (id: string, payload: Operation) => send({ id, type: 'subscribe', payload });
  const of = (id: string) =>
    messages.filter(message => message.id === id).map(({ type, payload }) => ({ type, payload }));
  return { socket, send, start, of };
}

test('sse: the second subscription has the headers and the bytes of the first', async t => {
  const { tenant, url } = await startGateway(t);
  const read = () => {
    const [id = ''] = tenant.addTasks(1, LASTING);
    let isFinished = false;
    const onText = (text: string) => {
      if (!isFinished && text.includes('"completionStatus":null')) tenant.finish(id);
      isFinished ||= text.includes('null');
    };
    return readStream(url, { query: PROGRESS, variables: { id } }, { onText }).then(answer => ({
      ...answer,
      text: answer.text.replaceAll(id, 'ID'),
    }));
  };
  const first = await read();
  assert.match(first.text, /^:\n\n.*null.*SUCCESS.*event: complete\nid: complete\ndata:\n\n$/s);
  assert.deepEqual(await read(), first);
});

test('sse: a known subscription without events stays open beyond the time limit', async t => {
  const { tenant, url } = await startGateway(t, { env: { CLIENT_TIMEOUT_MS: '200' } });
  const [id = ''] = tenant.addTasks(1, LASTING);
  await learn(t, url, PROGRESS, id);
  let received = '';
  const onText = (text: string) => (received = text);
  const whole = readStream(url, { query: PROGRESS, variables: { id } }, { onText });
  await until(() => received.includes(id));
  // Another connection, opened later and closed because it was idle, shows that the time has
  // passed.
  await once(connect(Number(new URL(url).port), '127.0.0.1').resume(), 'close');
  tenant.finish(id);
  assert.match((await whole).text, /null.*SUCCESS.*event: complete/s);
});

const ENDS: [string, Operation][] = [
  ['a task that does not exist', { query: PROGRESS, variables: { id: 'none' } }],
  ['a missing variable', { query: PROGRESS }],
  ['a variable of another type', { query: PROGRESS, variables: { id: ['a'] } }],
  ['variables that are a list', { query: PROGRESS, variables: [] }],
  ['a filter that matches nothing', { query: CHANGES, variables: { filter: { ids: [] } } }],
  ['the name of a subscription', { query: TWO, operationName: 'S', variables: { id: 'none' } }],
  ['the name of a query', { query: TWO, operationName: 'Q' }],
  ['a name that the document does not have', { query: TWO, operationName: 'X' }],
  ['no name', { query: TWO, variables: { id: 'none' } }],
  ['a name that is no text', { query: TWO, operationName: 7 }],
  [
    'a hash of another document',
    {
      query: PROGRESS,
      variables: { id: 'none' },
      extensions: { persistedQuery: { version: 1, sha256Hash: 'a'.repeat(64) } },
    },
  ],
];

for (const [name, operation] of ENDS) {
  test(`sse: a subscription with ${name} ends in the same way the second time`, async t => {
    const { tenant, url } = await startGateway(t);
    const [id = ''] = tenant.addTasks(1, LASTING);
    const first = await readStream(url, operation);
    await learn(t, url, operation.query, id);
    assert.deepEqual(await readStream(url, operation), first);
  });

  test(`ws: a subscription with ${name} ends in the same way the second time`, async t => {
    const { tenant, url } = await startGateway(t);
    const [id = ''] = tenant.addTasks(1, LASTING);
    const end = async () => {
      const { socket, start, of } = await openSocket(t, url);
      let closed: string | null = null;
      socket.once('close', (code, reason) => (closed = `${code} ${String(reason)}`));
      start('a', operation);
      await until(() => closed !== null || /^(complete|error)$/.test(of('a').at(-1)?.type ?? ''));
      return { closed, messages: of('a') };
    };
    const first = await end();
    await learn(t, url, operation.query, id);
    assert.deepEqual(await end(), first);
  });
}

test('sse: a known subscription that names a callback is refused as the first time', async t => {
  const { tenant, url } = await startGateway(t);
  const [id = ''] = tenant.addTasks(1, LASTING);
  const subscription = { callbackUrl: 'https://a.example', subscriptionId: 'a', verifier: 'b' };
  const headers = { accept: 'text/event-stream, application/json;callbackSpec=1.0' };
  const operation = { query: PROGRESS, variables: { id }, extensions: { subscription } };
  const first = await readStream(url, operation, { headers });
  assert.match(first.text, /FORBIDDEN/);
  await learn(t, url, PROGRESS, id);
  assert.deepEqual(await readStream(url, operation, { headers }), first);
});

/** Subscribes with a document that may be unknown, so that it is known from then on. */
async function learn(t: TestContext, url: string, query: string, id: string): Promise<void> {
  const { start, of } = await openSocket(t, url);
  const operationName = query === TWO ? 'S' : undefined;
  start('a', { query, variables: { id }, operationName });
  start('b', { query: PROGRESS, variables: { id } });
  await until(() => of('b').length > 0);
}

test('ws: a known subscription ends with `complete` of its client, and its id can be used again', async t => {
  const { tenant, url } = await startGateway(t);
  const [id = ''] = tenant.addTasks(1, LASTING);
  await learn(t, url, PROGRESS, id);
  const { socket, send, start, of } = await openSocket(t, url);
  for (let count = 1; count <= 3; count++) {
    start('a', { query: PROGRESS, variables: { id } });
    await until(() => of('a').length === count);
    send({ id: 'a', type: 'complete' });
  }
  start('a', { query: PROGRESS, variables: { id } });
  start('b', { query: PROGRESS, variables: { id } });
  await until(() => of('b').length === 1);
  tenant.finish(id);
  await until(() => of('b').length === 3);
  assert.deepEqual(
    of('a').map(({ type }) => type),
    ['next', 'next', 'next', 'next', 'next', 'complete'],
  );
  socket.close();
});

test('ws: a known subscription with the id of a running one closes the socket with 4409', async t => {
  const { tenant, url } = await startGateway(t);
  const [id = ''] = tenant.addTasks(1, LASTING);
  await learn(t, url, PROGRESS, id);
  const { socket, start } = await openSocket(t, url);
  start('a', { query: PROGRESS, variables: { id } });
  start('a', { query: PROGRESS, variables: { id } });
  const [code] = await once(socket, 'close');
  assert.equal(code, 4409);
});

test('ws: known subscriptions of a socket are limited, with a code', async t => {
  const { tenant, url } = await startGateway(t, { env: { MAX_SUBSCRIPTIONS_PER_CONNECTION: '2' } });
  const [id = ''] = tenant.addTasks(1, LASTING);
  await learn(t, url, PROGRESS, id);
  const { start, of } = await openSocket(t, url);
  for (const name of ['a', 'b', 'c']) start(name, { query: PROGRESS, variables: { id } });
  await until(() => of('a').length + of('b').length + of('c').length === 3);
  assert.equal(of('c')[0]?.type, 'error');
  assert.match(JSON.stringify(of('c')), /RATE_LIMITED/);
});

for (const transport of ['sse', 'ws'] as const)
  test(`${transport}: a known subscription is logged, counts as an operation, and ends with the gateway`, async t => {
    const log = createCapturedLog();
    const { tenant, gateway, url } = await startGateway(t, { log, env: { MAX_OPERATIONS: '3' } });
    const [id = ''] = tenant.addTasks(1, LASTING);
    const open = () => subscribe(t, transport, url, PROGRESS, { id });
    const streams = [open(), open(), open()];
    for (const stream of streams) assert.ok((await stream.next()).value.data);
    const refused = (await open().next()).value as { errors: { extensions: object }[] };
    assert.match(JSON.stringify(refused), /RATE_LIMITED/);
    await gateway.close();
    const ended = log.lines.filter(({ message }) => message === 'subscription ended');
    assert.equal(ended.length, 3);
    assert.equal(log.lines.filter(({ message }) => message === 'subscription started').length, 3);
    const fields = ended.map(({ name, hash, type, transport, codes, events }) =>
      JSON.stringify({ name, hash, type, transport, codes, events }),
    );
    assert.equal(new Set(fields).size, 1);
  });

for (const transport of TRANSPORTS)
  test(`${transport}: an event is serialised once for all subscribers with the same selection`, async t => {
    const { tenant, url } = await startGateway(t);
    const [id = ''] = tenant.addTasks(1, LASTING);
    const streams = Array.from({ length: 5 }, () => subscribe(t, transport, url, PROGRESS, { id }));
    for (const stream of streams) await stream.next();
    const stringify = t.mock.method(JSON, 'stringify');
    tenant.finish(id);
    for (const stream of streams) await stream.next();
    const serialised = stringify.mock.calls.filter(({ result }) =>
      /^[^[]*"taskProgress".*SUCCESS/.test(result ?? ''),
    );
    assert.equal(serialised.length, 1);
  });

test('members beat once in an interval, spread over it, until they are deleted', t => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const heartbeats = new Heartbeats(12_000);
  const beats = { a: 0, b: 0 };
  const a = { beat: () => beats.a++ };
  const b = { beat: () => beats.b++ };
  heartbeats.add(a);
  t.mock.timers.tick(6_000);
  heartbeats.add(b);
  t.mock.timers.tick(6_000);
  assert.deepEqual(beats, { a: 1, b: 0 });
  t.mock.timers.tick(6_000);
  assert.deepEqual(beats, { a: 1, b: 1 });
  heartbeats.delete(a);
  heartbeats.delete(a);
  t.mock.timers.tick(12_000);
  assert.deepEqual(beats, { a: 1, b: 2 });
  heartbeats.delete(b);
  heartbeats.add(a);
  t.mock.timers.tick(12_000);
  assert.deepEqual(beats, { a: 2, b: 2 });
});

test('ws: a known subscription whose client leaves while its token is checked is not started', async t => {
  const issuer = await startIssuer(t);
  const log = createCapturedLog();
  const { tenant, url, query } = await startGateway(t, {
    log,
    env: { JWKS_URL: issuer.jwksUrl, JWT_ISSUER: issuer.issuer, JWT_AUDIENCE: 'gateway' },
  });
  const [id = ''] = tenant.addTasks(1, LASTING);
  const known = subscribe(t, 'ws', url, PROGRESS, { id }, `Bearer ${await issuer.sign()}`);
  assert.ok((await known.next()).value.data);

  const keys = await (await fetch(issuer.jwksUrl)).text();
  const authorization = `Bearer ${await issuer.sign({ kid: 'new' })}`;
  // The keys are fetched again for a key that is not known, though not so soon after they were
  // fetched.
  const now = Date.now() + 60_000;
  t.mock.method(Date, 'now', () => now);
  const held: ServerResponse[] = [];
  issuer.fault = response => void held.push(response);
  const { socket, start } = await openSocket(t, url, { authorization });
  start('a', { query: PROGRESS, variables: { id } });
  await until(() => held.length === 1);
  const closed = t.mock.method(Heartbeats.prototype, 'delete');
  socket.terminate();
  await until(() => closed.mock.callCount() === 1);
  // It waits for the same keys, and is answered after the subscription would have started.
  const answered = query('{ taskStatuses { nodes { id } } }', {}, { authorization });
  held[0]!.setHeader('content-type', 'application/json').end(keys.replace('"k0"', '"new"'));
  assert.equal((await answered).errors, undefined);
  const started = log.lines.filter(({ message }) => message === 'subscription started');
  assert.equal(started.length, 1);
});
