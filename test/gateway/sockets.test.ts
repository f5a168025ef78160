import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { createCapturedLog } from '../support/captured-log.ts';
import { fetchToken, postGraphQL, startGateway } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const SOMAXCONN = '/proc/sys/net/core/somaxconn';
const MAX_BACKLOG = existsSync(SOMAXCONN) ? Number(readFileSync(SOMAXCONN, 'latin1')) : 0;
/** The state of a connection that has not been established, as Linux writes it. */
const SYN_SENT = '02';
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id } }';
const HEAD = 'POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n';

/** Resolves once it is closed, by an error or not. */
const closeOf = (socket: Socket) => new Promise(resolve => socket.once('close', resolve));

/** A connection, and everything received until it closes. */
function openConnection(t: TestContext, url: string, bytes = '') {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  const connection = { socket, text: '', ended: closeOf(socket) };
  socket.on('data', (data: Buffer) => (connection.text += data));
  if (bytes !== '') socket.write(bytes);
  return connection;
}

async function openSocket(t: TestContext, url: string, headers: Record<string, string> = {}) {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws', { headers });
  t.after(() => socket.terminate());
  socket.on('error', () => {});
  await once(socket, 'open');
  const init = async () => {
    socket.send('{"type":"connection_init"}');
    await once(socket, 'message');
  };
  return { socket, init, closed: once(socket, 'close') };
}

const below = (socket: WebSocket) => (socket as unknown as { _socket: Socket })._socket;

for (const [name, bytes] of [
  ['headers that do not end', 'POST /graphql HTTP/1.1\r\nHost: localhost\r\nX-Slow: '],
  ['a body that does not end', `${HEAD}Content-Length: 500\r\n\r\n{"query"`],
  ['a chunked body that does not end', `${HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\n{"q\r\n`],
] as const)
  test(`http: a request with ${name} is answered with 408 and a code`, async t => {
    const log = createCapturedLog();
    const { url } = await startGateway(t, { env: { CLIENT_TIMEOUT_MS: '200' }, log });
    const connection = openConnection(t, url, bytes);
    await connection.ended;
    assert.match(connection.text, /^HTTP\/1.1 408 /);
    assert.match(connection.text, /"code":"BAD_USER_INPUT"/);
    assert.deepEqual(
      log.lines.filter(({ level }) => level === 'error'),
      [],
    );
  });

test('http: a connection without a request is closed', async t => {
  const { url } = await startGateway(t, { env: { CLIENT_TIMEOUT_MS: '200' } });
  await openConnection(t, url).ended;
});

for (const accept of ['text/event-stream', 'multipart/mixed;subscriptionSpec=1.0'])
  test(`${accept}: a subscription without events stays open beyond the time limit`, async t => {
    const { tenant, url } = await startGateway(t, { env: { CLIENT_TIMEOUT_MS: '200' } });
    const id = tenant.addTask({ queueMs: 0, runMs: 86_400_000 });
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept },
      body: JSON.stringify({ query: PROGRESS, variables: { id } }),
    });
    let received = '';
    const ended = (async () => {
      for await (const chunk of response.body!) received += Buffer.from(chunk).toString();
    })();
    await until(() => received.includes(id));
    // Another connection, opened later and closed because it was idle, shows that the time has
    // passed.
    await openConnection(t, url).ended;
    tenant.finish(id);
    await ended;
    assert.match(received, new RegExp(`"${id}"[^]*"${id}"`));
  });

test('http: a client that does not read its responses is disconnected, and its operations end', async t => {
  const { sandbox, tenant, url } = await startGateway(t, {
    env: { CLIENT_TIMEOUT_MS: '300', MAX_STALENESS_MS: '60000' },
  });
  tenant.addTasks(250, LASTING);
  const body = JSON.stringify({
    query: `{ ${Array.from({ length: 40 }, (_, n) => `a${n}: taskStatuses(first: 250) { nodes { id uniqueName attributes } }`).join(' ')} }`,
  });
  const request = `${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`;
  const connection = openConnection(t, url);
  connection.socket.pause();
  connection.socket.write(request.repeat(40));
  await until(() => sandbox.journal.requests.length > 0);
  // A paused socket does not notice that it was closed; writing to it does.
  const poke = setInterval(() => connection.socket.write(' '), 50);
  t.after(() => clearInterval(poke));
  await connection.ended;
});

test('ws: a socket that does not read is closed, even if it sends pings or messages', async t => {
  const { url } = await startGateway(t, {
    env: {
      CLIENT_TIMEOUT_MS: '300',
      MAX_UNREAD_BYTES: '10240',
      MAX_MESSAGES_PER_SECOND: '1000000',
    },
  });
  for (const flood of [
    (socket: WebSocket) => socket.ping('x'.repeat(120)),
    (socket: WebSocket) =>
      socket.send('{"type":"ping","payload":{"x":"yyyyyyyyyyyyyyyyyyyyyyyyyyy"}}'),
  ]) {
    const { socket, init } = await openSocket(t, url);
    await init();
    below(socket).pause();
    const gone = closeOf(below(socket));
    const sending = setInterval(() => {
      for (let count = 0; count < 400; count++)
        if (socket.readyState === WebSocket.OPEN) flood(socket);
    }, 1);
    t.after(() => clearInterval(sending));
    await gone;
    clearInterval(sending);
  }
});

test('ws: a socket that reads late, but in time, gets all its results', async t => {
  const { tenant, url } = await startGateway(t, { env: { MAX_UNREAD_BYTES: '1024' } });
  tenant.addTasks(250, LASTING);
  const { socket, init } = await openSocket(t, url);
  await init();
  const messages: { id: string; type: string }[] = [];
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString())));
  const query = '{ taskStatuses(first: 250) { nodes { id uniqueName attributes } } }';
  below(socket).pause();
  for (let id = 0; id < 20; id++)
    socket.send(JSON.stringify({ id: String(id), type: 'subscribe', payload: { query } }));
  await postGraphQL(url, query);
  below(socket).resume();
  await until(() => messages.filter(({ type }) => type === 'complete').length === 20);
});

for (const [name, flood] of [
  ['messages', (socket: WebSocket) => socket.send('{"type":"ping"}')],
  ['pings', (socket: WebSocket) => socket.ping()],
  ['unsolicited pongs', (socket: WebSocket) => socket.pong()],
] as const)
  test(`ws: a socket that sends too many ${name} is closed with 1008`, async t => {
    const { url } = await startGateway(t, {
      env: { MAX_MESSAGES_PER_SECOND: '1', MAX_SUBSCRIPTIONS_PER_CONNECTION: '10' },
    });
    const { socket, init, closed } = await openSocket(t, url);
    await init();
    for (let count = 0; count < 990; count++) flood(socket);
    const pong = once(socket, 'message');
    socket.send('{"type":"ping"}');
    await pong;
    for (let count = 0; count < 50; count++) flood(socket);
    const [code, reason] = await closed;
    assert.deepEqual([code, String(reason)], [1008, 'Too many messages']);
  });

test('ws: a ping is answered with its own data', async t => {
  const { url } = await startGateway(t);
  const { socket } = await openSocket(t, url);
  socket.ping('still there?');
  assert.equal(String((await once(socket, 'pong'))[0]), 'still there?');
});

const WHOLE = '{"query":"{ __typename }"}';
for (const [part, first] of [
  ['a request', ''],
  ['the headers of a request', HEAD.slice(0, 30)],
  ['the body of a request', `${HEAD}Connection: close\r\nContent-Length: ${WHOLE.length}\r\n\r\n{`],
] as const)
  test(`http: ${part} that arrived while the gateway was busy is answered, however long that took`, async t => {
    const { url } = await startGateway(t, { env: { CLIENT_TIMEOUT_MS: '1000' } });
    await postGraphQL(url, '{ __typename }');
    const connection = openConnection(t, url, first);
    const { socket } = connection;
    await once(socket, 'connect');
    // A request of another connection is answered: this one has been accepted, and what was sent on
    // it was read.
    await postGraphQL(url, '{ __typename }');
    const head = `${HEAD}Connection: close\r\nContent-Length: ${WHOLE.length}\r\n\r\n`;
    socket.write(`${head}${WHOLE}`.slice(first.length));
    // Nothing else runs meanwhile.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_300);
    await connection.ended;
    assert.match(connection.text, /^HTTP\/1.1 200 [^]*\{"data":/);
  });

test(
  'a thousand clients that connect at once need not try again',
  { skip: MAX_BACKLOG < 1_000 && 'the system allows a backlog of less' },
  async t => {
    const { url } = await startGateway(t);
    const connections = Array.from({ length: 1_000 }, () => openConnection(t, url));
    // They have connected by then, and the gateway has accepted none.
    await new Promise(process.nextTick);
    const port = Number(new URL(url).port).toString(16).toUpperCase().padStart(4, '0');
    const waiting = readFileSync('/proc/net/tcp', 'latin1').match(
      new RegExp(` 0100007F:${port} ${SYN_SENT} `, 'g'),
    );
    assert.deepEqual(waiting?.length ?? 0, 0);
    await Promise.all(connections.map(({ socket }) => once(socket, 'connect')));
  },
);

test('ws: a socket without connection_init is closed with 4408 within seconds', async t => {
  const { url } = await startGateway(t);
  const { closed } = await openSocket(t, url);
  assert.equal((await closed)[0], 4408);
});

test('connections above the limit are refused with 503 and a code, over HTTP and WebSocket, until one closes', async t => {
  const { url } = await startGateway(t, { env: { MAX_CONNECTIONS: '2' } });
  const [first] = [await openSocket(t, url), await openSocket(t, url)];
  const refused = openConnection(
    t,
    url,
    'GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: localhost\r\n\r\n',
  );
  await refused.ended;
  assert.match(refused.text, /^HTTP\/1.1 503 [^]*retry-after: 5\r\n/);
  assert.match(refused.text, /"code":"RATE_LIMITED","retryAfterSeconds":5/);
  const upgrade = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  const [, response] = await once(upgrade, 'unexpected-response');
  assert.equal(response.statusCode, 503);
  upgrade.on('error', () => {});
  upgrade.terminate();

  first.socket.close();
  await first.closed;
  let answer = '';
  while (!answer.startsWith('HTTP/1.1 200')) {
    const again = openConnection(
      t,
      url,
      'GET /graphql?query=%7B__typename%7D HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    );
    await again.ended;
    answer = again.text;
  }
});

test('a gateway with too many connections is alive, and not ready', async t => {
  const { url } = await startGateway(t, { env: { MAX_CONNECTIONS: '1' } });
  await openSocket(t, url);
  for (const [path, status] of [
    ['/health/live', 200],
    ['/health/ready', 503],
  ] as const) {
    const probe = openConnection(t, url, `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await probe.ended;
    assert.ok(probe.text.startsWith(`HTTP/1.1 ${status} `), probe.text);
  }
});

test('the connections of an address are limited, behind a trusted proxy those of each client; X-Forwarded-For of others is ignored', async t => {
  const limit = { MAX_CONNECTIONS_PER_ADDRESS: '2' };
  const direct = await startGateway(t, { env: limit });
  await openSocket(t, direct.url, { 'x-forwarded-for': '203.0.113.1' });
  await openSocket(t, direct.url, { 'x-forwarded-for': '203.0.113.2' });
  const third = await fetch(direct.url, { headers: { 'x-forwarded-for': '203.0.113.3' } });
  assert.equal(third.status, 429);
  assert.equal((await third.json()).errors[0].extensions.code, 'RATE_LIMITED');

  const proxied = await startGateway(t, {
    env: { ...limit, TRUST_PROXY: 'loopback', AUTH_MODE: 'service' },
  });
  const ask = (address: string) =>
    proxied.query('{ __typename }', {}, { 'x-forwarded-for': address });
  // The client wrote the addresses before the one that the proxy added.
  await openSocket(t, proxied.url, { 'x-forwarded-for': '198.51.100.9, 203.0.113.1' });
  const leaving = await openSocket(t, proxied.url, { 'x-forwarded-for': '203.0.113.1:51234' });
  assert.equal((await ask('198.51.100.7, 203.0.113.1')).status, 429);
  assert.equal((await ask('203.0.113.2')).status, 200);
  // One host may have all addresses of an IPv6 network.
  await openSocket(t, proxied.url, { 'x-forwarded-for': '2001:db8::1' });
  await openSocket(t, proxied.url, { 'x-forwarded-for': '2001:db8::2' });
  assert.equal((await ask('2001:db8::3')).status, 429);
  assert.equal((await ask('2001:db8:0:1::3')).status, 200);
  leaving.socket.close();
  await leaving.closed;
  while ((await ask('203.0.113.1')).status !== 200);
});

test('one connection can have a hundred concurrent requests', async t => {
  const { url, tenant } = await startGateway(t);
  tenant.addTask(LASTING);
  const query = encodeURIComponent('{ taskStatuses(first: 1) { nodes { id } } }');
  const request = `GET /graphql?query=${query} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
  const connection = openConnection(t, url, request.repeat(150));
  await connection.ended;
  const statuses = connection.text.match(/HTTP\/1.1 \d+/g) ?? [];
  assert.equal(statuses.filter(status => status.endsWith('200')).length, 100);
  assert.equal(statuses.at(-1), 'HTTP/1.1 429');
});

for (const transport of ['sse', 'single-connection sse', 'ws'] as const)
  test(`${transport}: operations above the limit for all clients are refused until one ends`, async t => {
    const { url, tenant, query } = await startGateway(t, { env: { MAX_OPERATIONS: '1' } });
    const id = tenant.addTask(LASTING);
    const first = subscribe(t, transport, url, PROGRESS, { id });
    await first.next();
    assert.equal((await query('{ __typename }')).errors?.[0]?.extensions['code'], 'RATE_LIMITED');
    await first.return?.();
    while ((await query('{ __typename }')).errors);
  });

/** Reserves streams over the passthrough mode, where a caller needs a token. */
async function startStreams(t: TestContext) {
  const gateway = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
  const url = `${gateway.url}/stream`;
  const tokens = [
    await fetchToken(gateway.sandbox),
    await fetchToken(gateway.sandbox, gateway.sandbox.clients.add()),
  ] as const;
  const ask = async (method: string, bearer: string | null, token = '', body?: object) => {
    const response = await fetch(token === '' ? url : `${url}?token=${token}`, {
      method,
      headers: {
        ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const isStream = response.headers.get('content-type') === 'text/event-stream';
    if (isStream) await response.body?.cancel();
    const text = isStream ? '' : await response.text();
    const [, code = ''] = /"code":"(\w+)"/.exec(text) ?? [];
    return { status: response.status, text, code };
  };
  return { ...gateway, ask, tokens };
}

test('single-connection sse: a thousand requests without a token reserve nothing', async t => {
  const { ask, tokens } = await startStreams(t);
  for (let count = 0; count < 1_000; count++) {
    const { status, code } = await ask('PUT', null);
    assert.deepEqual([status, code], [401, 'UNAUTHENTICATED']);
  }
  assert.equal((await ask('PUT', tokens[0])).status, 201);
});

test('single-connection sse: reservations are counted per credential', async t => {
  const { ask, tokens } = await startStreams(t);
  for (let count = 0; count < 100; count++) assert.equal((await ask('PUT', tokens[0])).status, 201);
  const { status, code } = await ask('PUT', tokens[0]);
  assert.deepEqual([status, code], [429, 'RATE_LIMITED']);
  assert.equal((await ask('PUT', tokens[1])).status, 201);
});

test('single-connection sse: another caller who knows the token of a stream can neither post to it, nor read it, nor stop its operations', async t => {
  const { ask, tokens, tenant } = await startStreams(t);
  const [owner, stranger] = tokens;
  const id = tenant.addTask(LASTING);
  const { text: token } = await ask('PUT', owner);
  const operation = { query: PROGRESS, variables: { id }, extensions: { operationId: '1' } };
  for (const method of ['POST', 'GET', 'DELETE']) {
    const body = method === 'POST' ? operation : undefined;
    const other = await ask(method, stranger, token, body);
    assert.deepEqual([other.status, other.code], [403, 'FORBIDDEN'], method);
    const anonymous = await ask(method, null, token, body);
    assert.deepEqual([anonymous.status, anonymous.code], [401, 'UNAUTHENTICATED'], method);
  }
  assert.equal((await ask('POST', owner, token, operation)).status, 202);
});
