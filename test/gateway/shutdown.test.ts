import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWsClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { firstLine, spawnMain } from '../support/process.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { environmentOver, postGraphQL, startGateway, startSandbox } from '../support/start.ts';
import { TRANSPORTS, subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state completionStatus } }';
const TASK = '{ taskStatus(id: "a") { id } }';
const ROW = { id: 'a', type: 'QUARTZ', uniqueName: 'n', created: 1, percentComplete: 0 };
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const PATIENT = { SHUTDOWN_GRACE_MS: '60000' };
// A twentieth of it is left for refusals.
const IMPATIENT = { SHUTDOWN_GRACE_MS: '2000' };
const REASON = { message: 'The gateway is shutting down.', code: 'UPSTREAM_UNAVAILABLE' };

for (const transport of TRANSPORTS)
  test(`${transport}: a query under way is answered before the gateway has closed`, async t => {
    const upstream = await startHostileUpstream(t);
    const { gateway } = await startGatewayOver(t, upstream.url, PATIENT);
    const held = holdAnswers(upstream);
    const answer = subscribe(t, transport, gateway.url, TASK).next();
    const respond = await held;

    const closed = gateway.close();
    await untilNotListening(gateway.url);
    respond();

    assert.deepEqual((await answer).value, { data: { taskStatus: { id: 'a' } } });
    await closed;
  });

for (const transport of TRANSPORTS)
  test(`${transport}: a query that upstream does not answer in time is refused before the gateway has closed`, async t => {
    const upstream = await startHostileUpstream(t);
    const { gateway } = await startGatewayOver(t, upstream.url, IMPATIENT);
    const held = holdAnswers(upstream);
    const answer = subscribe(t, transport, gateway.url, TASK).next();
    await held;
    await gateway.close();
    const [error] = (await answer).value.errors;
    assert.deepEqual({ message: error.message, code: error.extensions.code }, REASON);
  });

test('a POST that upstream does not answer in time is refused before the gateway has closed', async t => {
  const upstream = await startHostileUpstream(t);
  const { gateway, log } = await startGatewayOver(t, upstream.url, IMPATIENT);
  const held = holdAnswers(upstream);
  const answer = post(gateway.url, { query: TASK });
  await held;
  await gateway.close();
  assert.deepEqual(reasonOf((await answer).text, /(.*)/), REASON);
  const line = log.lines.find(({ message }) => message === 'operation');
  assert.deepEqual(line?.['codes'], [REASON.code]);
});

test('a POST under way is answered, and its connection is closed after it', async t => {
  const upstream = await startHostileUpstream(t);
  const { gateway } = await startGatewayOver(t, upstream.url, PATIENT);
  const held = holdAnswers(upstream);
  const answer = post(gateway.url, { query: TASK });
  const respond = await held;

  const closed = gateway.close();
  respond();

  const { headers, text } = await answer;
  assert.equal(headers.connection, 'close');
  assert.deepEqual(JSON.parse(text), { data: { taskStatus: { id: 'a' } } });
  await closed;
});

test('while it waits to stop listening, the gateway serves, is not ready and keeps no connection', async t => {
  const sandbox = await startSandbox(t);
  const id = sandbox.tenant.addTask(LASTING);
  const { child, url } = await startProcess(t, sandbox, { SHUTDOWN_DELAY_MS: '600000' });
  const health = (part: string) => fetch(new URL(`/health/${part}`, url));
  assert.equal((await health('ready')).status, 200);

  child.kill('SIGTERM');

  for (;;) {
    const ready = await health('ready');
    await ready.text();
    if (ready.status === 200) continue;
    assert.deepEqual([ready.status, ready.headers.get('connection')], [503, 'close']);
    break;
  }
  assert.equal((await health('live')).status, 200);
  const { data } = await postGraphQL(url, `{ taskStatus(id: "${id}") { id } }`);
  assert.equal(data.taskStatus.id, id);
});

test('sse: a stream ends with the reason and without `complete`', async t => {
  const { gateway, tenant, url } = await startGateway(t, { env: PATIENT });
  const id = tenant.addTask(LASTING);
  const stream = post(url, { query: PROGRESS, variables: { id } }, 'text/event-stream');
  const response = await stream.response;
  await once(response, 'data');
  await gateway.close();

  const { text } = await stream;
  assert.doesNotMatch(text, /event: complete/);
  assert.deepEqual(reasonOf(text, /event: next\ndata: (.*)\n\n$/), REASON);
});

test('multipart: a stream ends with the reason and the closing boundary', async t => {
  const { gateway, tenant, url } = await startGateway(t, { env: PATIENT });
  const id = tenant.addTask(LASTING);
  const accept = 'multipart/mixed;subscriptionSpec=1.0, application/json';
  const stream = post(url, { query: PROGRESS, variables: { id } }, accept);
  const response = await stream.response;
  await until(() => stream.received().includes('RUNNING'));
  await gateway.close();

  assert.match(response.headers['content-type'] ?? '', /multipart\/mixed/);
  const { text } = await stream;
  assert.deepEqual(reasonOf(text, /\r\n\r\n(\{[^\n]*\})\r\n--graphql--\r\n$/), REASON);
  assert.match(text, /"payload":null/);
});

test('single-connection sse: each operation ends with the reason and without `complete`', async t => {
  const { gateway, tenant, url } = await startGateway(t, { env: PATIENT });
  const ids = tenant.addTasks(2, LASTING);
  const token = await (await fetch(`${url}/stream`, { method: 'PUT' })).text();
  const headers = { 'x-graphql-event-stream-token': token, 'content-type': 'application/json' };
  const stream = get(`${url}/stream?token=${token}`);
  await stream.response;
  for (const id of ids) {
    const extensions = { operationId: id };
    const body = JSON.stringify({ query: PROGRESS, variables: { id }, extensions });
    assert.equal((await fetch(`${url}/stream`, { method: 'POST', headers, body })).status, 202);
  }
  await until(() => ids.every(id => stream.received().includes(`"id":"${id}","state"`)));
  await gateway.close();

  const { text } = await stream;
  assert.doesNotMatch(text, /event: complete/);
  const last = text.trim().split('\n\n').slice(-2);
  assert.deepEqual(
    last.map(frame => reasonOf(frame, /"payload":(.*)\}$/)),
    [REASON, REASON],
  );
  assert.deepEqual(last.map(frame => /"id":"([^"]*)"/.exec(frame)?.[1]).toSorted(), ids.toSorted());
});

for (const transport of ['sse', 'single-connection sse', 'ws'] as const)
  test(`${transport}: a client connects to the next instance and gets the end of its task`, async t => {
    const sandbox = await startSandbox(t, { rateLimit: Infinity });
    const id = sandbox.tenant.addTask(LASTING);
    const [leaving, next] = await Promise.all(
      [1, 2].map(() => startGateway(t, { over: sandbox, env: PATIENT })),
    );
    let { url } = leaving!;
    const states: string[] = [];
    const completed = new Promise<void>((resolve, reject) => {
      const retry = { retryAttempts: 100, retryWait: () => Promise.resolve() };
      const address = () => (transport === 'single-connection sse' ? `${url}/stream` : url);
      const client =
        transport === 'ws'
          ? createWsClient({
              url: () => url.replace('http', 'ws'),
              webSocketImpl: WebSocket,
              ...retry,
            })
          : createSseClient({
              url: address,
              singleConnection: transport === 'single-connection sse',
              ...retry,
            });
      t.after(() => client.dispose());
      client.subscribe(
        { query: PROGRESS, variables: { id } },
        {
          next: ({ data }: any) => data && states.push(data.taskProgress.state),
          error: reject,
          complete: resolve,
        },
      );
    });
    await until(() => states.length === 1);
    url = next!.url;
    await leaving!.gateway.close();
    await until(() => states.length === 2);
    sandbox.tenant.finish(id);
    await completed;
    assert.deepEqual(states, ['RUNNING', 'RUNNING', 'COMPLETED']);
  });

test('the process exits, whatever its clients do', async t => {
  const sandbox = await startSandbox(t);
  const id = sandbox.tenant.addTask(LASTING);
  const { child, url } = await startProcess(t, sandbox, { SHUTDOWN_GRACE_MS: '500' });
  const { port } = new URL(url);
  const head = `POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n`;
  await Promise.all([
    // A connection without a request, half a request, a stream that is not read, and a socket that
    // closes nothing.
    open(t, port, ''),
    open(t, port, `${head}content-length: 100\r\n\r\n{`),
    open(
      t,
      port,
      `${head}accept: text/event-stream\r\ncontent-length: ${bodyOf(id).length}\r\n\r\n${bodyOf(id)}`,
    ),
    open(
      t,
      port,
      'GET /graphql HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: graphql-transport-ws\r\n\r\n',
    ),
  ]);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
});

test('a second signal does not cut the shutdown short', async t => {
  const upstream = await startHostileUpstream(t);
  const child = spawnMain(t, ['serve'], {
    SAIL_BASE_URL: upstream.url,
    AUTH_MODE: 'service',
    SAIL_CLIENT_ID: 'client',
    SAIL_CLIENT_SECRET: 'secret of the client',
    PORT: '0',
    LOG_LEVEL: 'silent',
    ...PATIENT,
  });
  const [, url = ''] = /^GraphQL at (\S+), over/.exec(await firstLine(child)) ?? [];
  const held = holdAnswers(upstream);
  const answer = post(url, { query: TASK });
  const respond = await held;
  const exited = once(child, 'exit');

  child.kill('SIGTERM');
  await untilNotListening(url);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGINT'] as const) child.kill(signal);
  respond();

  assert.deepEqual(JSON.parse((await answer).text), { data: { taskStatus: { id: 'a' } } });
  assert.deepEqual(await exited, [0, null]);
});

test('a signal ends the process at once if it does not listen yet', async t => {
  const redis = createServer(socket => socket.on('error', () => {}).resume());
  redis.listen(0, '127.0.0.1');
  t.after(() => redis.close());
  const sandbox = await startSandbox(t);
  const { port } = redis.address() as AddressInfo;
  const child = spawnMain(t, ['serve'], {
    ...environmentOver(sandbox),
    REDIS_URL: `redis://127.0.0.1:${port}`,
    SHUTDOWN_DELAY_MS: '600000',
  });
  let output = '';
  child.stdout!.on('data', (chunk: Buffer) => (output += String(chunk)));
  const exited = once(child, 'exit');
  await once(redis, 'connection');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
  assert.equal(output, '');
});

async function startProcess(t: TestContext, sandbox: Sandbox, env: Record<string, string>) {
  const child = spawnMain(t, ['serve'], { ...environmentOver(sandbox), ...env });
  const line = await firstLine(child);
  const [, url = ''] = /^GraphQL at (\S+), over/.exec(line) ?? assert.fail(line);
  return { child, url };
}

/** Holds the next answer of an upstream. Resolves when it is asked, to what lets the answer go. */
function holdAnswers(upstream: Awaited<ReturnType<typeof startHostileUpstream>>) {
  return new Promise<() => void>(resolve => {
    upstream.respond = response => resolve(() => sendJson(response, 200, [ROW]));
  });
}

async function untilNotListening(url: string): Promise<void> {
  for (;;) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    const isRefused = await Promise.race([
      once(socket, 'connect').then(() => false),
      new Promise<boolean>(resolve => socket.once('error', () => resolve(true))),
    ]).catch(() => true);
    socket.destroy();
    if (isRefused) return;
  }
}

function bodyOf(id: string): string {
  return JSON.stringify({ query: PROGRESS, variables: { id } });
}

async function open(t: TestContext, port: string, text: string): Promise<void> {
  const socket = connect(Number(port), '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(text);
}

interface Exchange extends Promise<{ headers: IncomingMessage['headers']; text: string }> {
  response: Promise<IncomingMessage>;
  received(): string;
}

function post(url: string, body: object, accept = 'application/json'): Exchange {
  return exchange(url, 'POST', JSON.stringify(body), {
    accept,
    'content-type': 'application/json',
  });
}

function get(url: string): Exchange {
  return exchange(url, 'GET', '', { accept: 'text/event-stream' });
}

function exchange(
  url: string,
  method: string,
  body: string,
  headers: Record<string, string>,
): Exchange {
  let text = '';
  const request = httpRequest(url, { method, headers });
  const response = once(request, 'response').then(([message]) => {
    (message as IncomingMessage).setEncoding('utf8').on('data', chunk => (text += chunk));
    return message as IncomingMessage;
  });
  const whole = response.then(async message => {
    await once(message, 'end');
    return { headers: message.headers, text };
  });
  request.end(body);
  return Object.assign(whole, { response, received: () => text });
}

function reasonOf(text: string, pattern: RegExp) {
  const { errors } = JSON.parse(pattern.exec(text)?.[1] ?? assert.fail(text));
  return { message: errors[0].message, code: errors[0].extensions.code };
}
