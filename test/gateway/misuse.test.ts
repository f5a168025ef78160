import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, type Socket, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { firstLine, spawnMain } from '../support/process.ts';
import { postGraphQL, startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const LASTING = { queueMs: 0, runMs: 86_400_000 };
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id } }';
/** Subscriptions for which graphql-js throws or returns an error before there is a stream. */
const UNSUBSCRIBABLE = [
  'subscription { taskProgress(id: "x") @skip(if: true) { id } }',
  'subscription { taskProgress(id: "x") @include(if: false) { id } }',
  'subscription { ... @skip(if: true) { taskProgress(id: "x") { id } } }',
  'subscription ($no: Boolean = false) { taskStatusChanged @include(if: $no) { kind } }',
  'subscription ($missing: Boolean!) { taskProgress(id: "x") @skip(if: $missing) { id } }',
];

/** Opens a graphql-transport-ws socket and records the messages it receives. */
async function openSocket(t: TestContext, url: string) {
  const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
  t.after(() => socket.terminate());
  const messages: any[] = [];
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString())));
  socket.on('error', () => {});
  await once(socket, 'open');
  socket.send('{"type":"connection_init"}');
  await until(() => messages.length === 1);
  const subscribe = (id: string, query: unknown, more: object = {}) =>
    socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query, ...more } }));
  const messagesOf = (id: string) => messages.filter(message => message.id === id);
  return { socket, subscribe, messagesOf };
}

function codesOf({ payload }: any): string[] {
  const errors = Array.isArray(payload) ? payload : payload.errors;
  return errors.map(({ extensions }: any) => extensions.code);
}

test('ws: an invalid subscription is an error of that operation, and the others on the socket continue', async t => {
  const { tenant, url } = await startGateway(t);
  const id = tenant.addTask(LASTING);
  const { socket, subscribe, messagesOf } = await openSocket(t, url);
  subscribe('other', PROGRESS, { variables: { id } });
  await until(() => messagesOf('other').length === 1);
  const wrong = [
    ...UNSUBSCRIBABLE.map(query => ({ query })),
    { query: PROGRESS, variables: { id: {} } },
    { query: PROGRESS },
    { query: PROGRESS, variables: { id }, operationName: 'Nope' },
    { query: 'query A { __typename } query B { __typename }' },
    { query: '{ nope }' },
    { query: '{' },
  ];
  for (const [place, { query, ...more }] of wrong.entries()) {
    subscribe(`wrong ${place}`, query, more);
    await until(() => messagesOf(`wrong ${place}`).length > 0);
    const [answer] = messagesOf(`wrong ${place}`);
    assert.deepEqual(codesOf(answer), ['BAD_USER_INPUT'], query);
  }
  assert.equal(socket.readyState, WebSocket.OPEN);
  tenant.finish(id);
  await until(() => messagesOf('other').at(-1).type === 'complete');
  assert.equal(messagesOf('other').length, 3);
});

for (const accept of [
  'text/event-stream',
  'multipart/mixed;subscriptionSpec=1.0',
  'multipart/mixed;subscriptionSpec=1.0, application/json',
])
  test(`${accept}: an invalid subscription is refused with BAD_USER_INPUT`, async t => {
    const { url } = await startGateway(t);
    for (const query of UNSUBSCRIBABLE) {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept },
        body: JSON.stringify({ query }),
      });
      const text = await response.text();
      assert.match(text, /"code":"BAD_USER_INPUT"/, query);
      assert.doesNotMatch(text, /INTERNAL_SERVER_ERROR/);
    }
  });

test('single-connection sse: an invalid subscription is refused in its POST, and the stream continues', async t => {
  const { tenant, url } = await startGateway(t);
  const id = tenant.addTask(LASTING);
  const stream = `${url}/stream`;
  const token = await (await fetch(stream, { method: 'PUT' })).text();
  const post = async (body: object) => {
    const response = await fetch(stream, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-graphql-event-stream-token': token },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    return text === '' ? response.status : JSON.parse(text).errors[0].extensions.code;
  };
  const wrong = [
    ...UNSUBSCRIBABLE.map(query => ({ query })),
    { query: 5 },
    { query: '{ __typename }', variables: 'x' },
    { query: '{ __typename }', variables: [] },
    { query: '{ __typename }', operationName: 5 },
  ];
  for (const body of wrong)
    assert.equal(
      await post({ ...body, extensions: { operationId: 'wrong' } }),
      'BAD_USER_INPUT',
      JSON.stringify(body),
    );
  assert.equal(
    await post({ query: PROGRESS, variables: { id }, extensions: [] }),
    'BAD_USER_INPUT',
  );
  const extensions = { operationId: 'right' };
  assert.equal(await post({ query: PROGRESS, variables: { id }, extensions }), 202);
  tenant.finish(id);
  const response = await fetch(`${stream}?token=${token}`, {
    headers: { accept: 'text/event-stream' },
  });
  let text = '';
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    if (text.includes('event: complete')) break;
  }
  assert.match(text, new RegExp(`"id":"right".*${id}`));
});

test('callback: an invalid subscription is refused, and nothing is sent to the router', async t => {
  let calls = 0;
  const router = createServer((_request, response) => {
    calls++;
    response.end();
  }).listen(0, '127.0.0.1');
  t.after(() => router.close());
  await once(router, 'listening');
  const { port } = router.address() as AddressInfo;
  const { url } = await startGateway(t, {
    env: { SUBSCRIPTION_CALLBACK_HOSTS: `127.0.0.1:${port}` },
  });
  const callbackUrl = `http://127.0.0.1:${port}/callback`;
  const subscription = { callbackUrl, subscriptionId: 's', verifier: 'v' };
  for (const query of UNSUBSCRIBABLE) {
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json;callbackSpec=1.0',
      },
      body: JSON.stringify({ query, extensions: { subscription } }),
    });
    const { errors } = await response.json();
    assert.equal(errors[0].extensions.code, 'BAD_USER_INPUT', query);
  }
  assert.equal(calls, 0);
});

const FRAMES: [what: string, frame: number[], code: number][] = [
  ['reserved bits', [0xff, 0xff, 0, 0], 1002],
  ['a text that is no UTF-8', [0x81, 0x82, 0, 0, 0, 0, 0xff, 0xff], 1007],
  ['a frame that is not masked', [0x81, 0x01, 0x7b], 1002],
  ['a message above the limit', [0x81, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], 1009],
];

test('client errors leave no stack on stderr and no error in the log', async t => {
  const child = spawnMain(t, ['serve'], { PORT: '0', SANDBOX_PORT: '0', LOG_LEVEL: 'error' });
  let complaints = '';
  child.stderr?.on('data', data => (complaints += data));
  const [, url = ''] = /GraphQL at (\S+),/.exec(await firstLine(child)) ?? [];
  child.stdout?.on('data', data => (complaints += data));
  const { hostname, port } = new URL(url);

  for (const [what, frame, code] of FRAMES) {
    const { socket } = await openSocket(t, url);
    tcpSocketOf(socket).write(Buffer.from(frame));
    const [closedWith] = await once(socket, 'close');
    assert.equal(closedWith, code, what);
  }
  for (const [text, code] of [
    ['{', 4400],
    ['{"type":"nope"}', 4400],
    ['{"id":"1","type":"next","payload":{}}', 4400],
    ['{"id":"1","type":"error","payload":[{"message":"x"}]}', 4400],
    ['{"type":"connection_ack"}', 4400],
    ['{"type":"connection_init"}', 4429],
    [JSON.stringify({ id: '1', type: 'subscribe', payload: { query: 5 } }), 4400],
    [JSON.stringify({ id: '1', type: 'subscribe', payload: { query: '{a}', variables: 5 } }), 4400],
  ] as const) {
    const { socket } = await openSocket(t, url);
    socket.send(text);
    const [closedWith] = await once(socket, 'close');
    assert.equal(closedWith, code, text);
  }
  const unspoken = new WebSocket(url.replace('http', 'ws'));
  assert.equal((await once(unspoken, 'close'))[0], 4406);
  const outdated = new WebSocket(url.replace('http', 'ws'), 'graphql-ws');
  await new Promise(resolve => outdated.once('error', resolve));

  const gone = await openSocket(t, url);
  gone.subscribe('1', 'subscription { taskStatusChanged(snapshot: true) { kind } }');
  tcpSocketOf(gone.socket).resetAndDestroy();

  for (const body of ['', '{', '[]', '5', '{"query":5}', '{"query":"{a}","variables":"x"}'])
    for (const target of [url, `${url}/stream`]) {
      const headers = { 'content-type': 'application/json' };
      const response = await fetch(target, { method: 'POST', headers, body });
      assert.ok([400, 404].includes(response.status), body);
      assert.doesNotMatch(await response.text(), /INTERNAL_SERVER_ERROR|node_modules/);
    }
  for (const type of [
    'text/plain',
    'application/graphql',
    'multipart/form-data; boundary=x',
    'x',
  ]) {
    const headers = { 'content-type': type };
    const response = await fetch(url, { method: 'POST', headers, body: '{"query":5}' });
    assert.ok(response.status < 500, `${type}: ${response.status}`);
    assert.doesNotMatch(await response.text(), /INTERNAL_SERVER_ERROR/);
  }
  const UPGRADE = 'Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n';
  for (const raw of [
    'nonsense\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    `GET /graphql HTTP/1.1\r\n${UPGRADE}\r\n`,
    `GET /nope HTTP/1.1\r\n${UPGRADE}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bad\r\n\r\n`,
    'GET /graphql?query=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /graphql?query=%7B__typename%7D&variables=%7B HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'GET /graphql?query=%7B__typename%7D&extensions=5 HTTP/1.1\r\nHost: localhost\r\n\r\n',
    'PUT /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n',
    'GET /graphql/stream?token=x HTTP/1.1\r\nHost: localhost\r\n\r\n',
  ]) {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => {});
    socket.write(raw);
    await once(socket, 'data');
    socket.resetAndDestroy();
  }
  // Disconnects before the first answer, and after the first event.
  for (const accept of ['text/event-stream', 'multipart/mixed;subscriptionSpec=1.0'])
    for (const isOpen of [false, true]) {
      const controller = new AbortController();
      const answer = fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept },
        body: JSON.stringify({ query: 'subscription { taskStatusChanged { kind } }' }),
        signal: controller.signal,
      });
      if (isOpen) await (await answer).body?.getReader().read();
      controller.abort();
      await answer.catch(() => {});
    }
  // Disconnects in the middle of a body.
  const broken = connect(Number(port), hostname);
  await new Promise<void>(resolve => {
    const head = 'Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 500';
    broken.write(`POST /graphql HTTP/1.1\r\n${head}\r\n\r\n{"query"`, () => resolve());
  });
  broken.resetAndDestroy();

  assert.equal((await postGraphQL(url, '{ __typename }')).data.__typename, 'Query');
  child.kill('SIGTERM');
  await once(child, 'exit');
  assert.equal(complaints, '');
});

/** What `ws` writes to. It has no public name, and no API of it sends frames that are invalid. */
function tcpSocketOf(socket: WebSocket): Socket {
  return (socket as unknown as { _socket: Socket })._socket;
}
