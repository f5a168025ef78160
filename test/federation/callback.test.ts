import assert from 'node:assert/strict';
import type { lookup } from 'node:dns';
import { once } from 'node:events';
import { type IncomingHttpHeaders, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import {
  createCallbackSender,
  createInternalCheck,
} from '../../src/http/transports/callback-sender.ts';
import { createCapturedLog } from '../support/captured-log.ts';
import { scrape, sumOf } from '../support/exposition.ts';
import { HandClock, quietOf } from '../support/hand-clock.ts';
import { type StartOptions, startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const INTERVAL_MS = 1_000;
const HEARTBEAT_MS = 4_000;
const STATUSES: Record<string, number> = { check: 204, next: 200, complete: 202 };

interface Message {
  kind: string;
  action: string;
  id: string;
  verifier: string;
  payload?: any;
  errors?: any[];
}

/** The router's side of the protocol: the messages it received, and how it answers. */
async function startReceiver(
  t: TestContext,
  answer: (message: Message, count: number) => number | null = () => null,
) {
  const messages: Message[] = [];
  const headers: IncomingHttpHeaders[] = [];
  const server = createServer(async (request, response) => {
    let text = '';
    for await (const chunk of request) text += chunk;
    const message = JSON.parse(text) as Message;
    messages.push(message);
    headers.push(request.headers);
    response.writeHead(answer(message, messages.length) ?? STATUSES[message.action] ?? 400).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/callback/s1`,
    messages,
    headers,
    actions: () => messages.map(({ action }) => action),
    of: (action: string) => messages.filter(message => message.action === action),
  };
}

async function start(t: TestContext, { env = {}, ...options }: StartOptions = {}) {
  const gateway = await startGateway(t, {
    ...options,
    env: {
      SUBSCRIPTION_CALLBACK_HOSTS: '127.0.0.1',
      PROGRESS_INTERVAL_MS: options.clock ? String(INTERVAL_MS) : '20',
      ...env,
    },
  });
  /** Subscribes as a router does. */
  const ask = async (
    id: string,
    subscription: Record<string, unknown>,
    headers: Record<string, string> = {},
    query = PROGRESS,
  ) => {
    const response = await fetch(gateway.url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept:
          'application/json;callbackSpec=1.0, application/json, application/graphql-response+json',
        ...headers,
      },
      body: JSON.stringify({
        query,
        variables: { id },
        extensions: { subscription },
      }),
    });
    const { data, errors } = (await response.json()) as { data?: unknown; errors?: any[] };
    return { status: response.status, data, code: errors?.[0]?.extensions.code };
  };
  return { ...gateway, ask };
}

function subscriptionTo(callbackUrl: string, heartbeatIntervalMs: number = HEARTBEAT_MS) {
  return { callbackUrl, subscriptionId: 's1', verifier: 'v1', heartbeatIntervalMs };
}

test('a router confirms first, then gets its response, then every event up to the end', async t => {
  const { tenant, ask } = await start(t);
  const receiver = await startReceiver(t);
  const id = tenant.addTask(LASTING);
  const answered = await ask(id, subscriptionTo(receiver.url));
  assert.deepEqual(answered, { status: 200, data: null, code: undefined });
  assert.deepEqual(receiver.messages[0], {
    kind: 'subscription',
    action: 'check',
    id: 's1',
    verifier: 'v1',
  });

  await until(() => receiver.of('next').length === 1);
  tenant.finish(id);
  await until(() => receiver.of('complete').length === 1);
  assert.deepEqual(receiver.actions(), ['check', 'next', 'next', 'complete']);
  assert.deepEqual(
    receiver.of('next').map(({ payload }) => payload),
    ['RUNNING', 'COMPLETED'].map(state => ({ data: { taskProgress: { id, state } } })),
  );
  assert.ok(!('errors' in receiver.messages.at(-1)!));
  for (const [place, message] of receiver.messages.entries()) {
    assert.deepEqual([message.kind, message.id, message.verifier], ['subscription', 's1', 'v1']);
    const { 'content-type': type, 'subscription-protocol': protocol } = receiver.headers[place]!;
    assert.deepEqual([type, protocol], ['application/json', 'callback/1.0']);
  }
});

for (const status of [400, 401, 404])
  test(`a router that does not confirm (${status}) is refused, and its subscription ends`, async t => {
    const clock = new HandClock();
    const log = createCapturedLog();
    const { tenant, ask, requests, gateway } = await start(t, { clock, log });
    const receiver = await startReceiver(t, ({ verifier }) => (verifier === 'v1' ? null : status));
    const id = tenant.addTask(LASTING);
    const refused = await ask(id, { ...subscriptionTo(receiver.url), verifier: 'another' });
    assert.deepEqual([refused.status, refused.code], [403, 'FORBIDDEN']);
    await quietOf(clock, INTERVAL_MS);
    const before = requests().length;
    clock.advance(60_000);
    assert.deepEqual([receiver.actions(), requests().length], [['check'], before]);
    const ended = log.lines.filter(({ message }) => message === 'subscription ended');
    assert.deepEqual(
      ended.map(({ codes, events }) => [codes, events]),
      [[['FORBIDDEN'], 0]],
    );
    const figures = await scrape(gateway.metricsUrl);
    const of = (name: string, labels = {}) =>
      sumOf(figures, `task_status_gateway_${name}`, { transport: 'callback', ...labels });
    assert.deepEqual([of('operations_total', { outcome: 'FORBIDDEN' }), of('streams')], [1, 0]);
  });

test('a router is sent SNAPSHOT_COMPLETE if a list is empty', async t => {
  const { ask } = await start(t);
  const receiver = await startReceiver(t);
  const query = 'subscription { taskStatusChanged(snapshot: true) { kind taskStatus { id } } }';
  await ask('', subscriptionTo(receiver.url), {}, query);
  await until(() => receiver.of('next').length === 1);
  assert.deepEqual(receiver.of('next')[0]?.payload, {
    data: { taskStatusChanged: { kind: 'SNAPSHOT_COMPLETE', taskStatus: null } },
  });
});

test('an event that the router refuses ends the subscription', async t => {
  const clock = new HandClock();
  const { tenant, ask } = await start(t, { clock });
  const receiver = await startReceiver(t, ({ action }) => (action === 'next' ? 404 : null));
  const id = tenant.addTask(LASTING);
  await ask(id, subscriptionTo(receiver.url));
  await until(() => receiver.of('next').length === 1);
  await quietOf(clock, INTERVAL_MS);
  tenant.finish(id);
  clock.advance(60_000);
  assert.deepEqual(receiver.actions(), ['check', 'next']);
});

test('an event that does not reach the router is retried', async t => {
  const { tenant, ask } = await start(t);
  const receiver = await startReceiver(t, (_message, count) => (count % 3 === 0 ? null : 503));
  const id = tenant.addTask({ queueMs: 0, runMs: 0, statusLagMs: 0 });
  assert.equal((await ask(id, subscriptionTo(receiver.url))).status, 200);
  await until(() => receiver.messages.length === 9);
  assert.deepEqual(
    receiver.actions(),
    ['check', 'next', 'complete'].flatMap(action => Array(3).fill(action)),
  );
});

test('heartbeats are sent before the interval has passed, and only if the router requests them', async t => {
  const clock = new HandClock();
  const { tenant, ask } = await start(t, { clock });
  const receiver = await startReceiver(t);
  const silent = await startReceiver(t);
  const id = tenant.addTask(LASTING);
  await ask(id, subscriptionTo(receiver.url));
  await ask(id, subscriptionTo(silent.url, 0));
  await until(() => receiver.of('next').length + silent.of('next').length === 2);
  for (let beats = 1; beats <= 5; beats++) {
    // The next poll and the next heartbeat are scheduled.
    await until(() => clock.waiting === 2 && clock.nextInMs <= INTERVAL_MS);
    clock.advance(HEARTBEAT_MS * 0.75);
    await until(() => receiver.of('check').length === 1 + beats);
  }
  assert.equal(silent.of('check').length, 1);
});

for (const [what, status] of [
  ['refused', 404],
  ['refused for its verifier', 401],
] as const)
  test(`a heartbeat that is ${what} ends the subscription`, async t => {
    const clock = new HandClock();
    const { tenant, ask } = await start(t, { clock });
    const receiver = await startReceiver(t, ({ action }, count) =>
      action === 'check' && count > 2 ? status : null,
    );
    const id = tenant.addTask(LASTING);
    await ask(id, subscriptionTo(receiver.url));
    await until(() => receiver.of('next').length === 1);
    clock.advance(HEARTBEAT_MS);
    await until(() => receiver.of('check').length === 2);
    await quietOf(clock, INTERVAL_MS);
    tenant.finish(id);
    clock.advance(60_000);
    assert.deepEqual(receiver.actions(), ['check', 'next', 'check']);
  });

test('a router may miss four heartbeats; the fifth ends its subscription', async t => {
  const clock = new HandClock();
  const { tenant, ask } = await start(t, { clock });
  let isDown = false;
  const receiver = await startReceiver(t, () => (isDown ? 503 : null));
  const id = tenant.addTask(LASTING);
  await ask(id, subscriptionTo(receiver.url));
  await until(() => receiver.of('next').length === 1);
  const miss = async (times: number) => {
    for (let count = 0; count < times; count++) {
      const before = receiver.messages.length;
      await until(() => {
        clock.advance(INTERVAL_MS);
        return receiver.messages.length > before;
      });
    }
  };
  isDown = true;
  await miss(4);
  isDown = false;
  await miss(1);
  isDown = true;
  await miss(5);
  await quietOf(clock, INTERVAL_MS);
  isDown = false;
  const before = receiver.messages.length;
  tenant.finish(id);
  clock.advance(60_000);
  assert.equal(receiver.messages.length, before);
});

test('an error that ends the stream is the last event', async t => {
  const { tenant, ask } = await start(t);
  const receiver = await startReceiver(t);
  const id = tenant.addTask(LASTING);
  await ask(id, subscriptionTo(receiver.url));
  await until(() => receiver.of('next').length === 1);
  tenant.remove(id);
  await until(() => receiver.of('complete').length === 1);
  assert.equal(receiver.of('next').at(-1)?.payload.errors[0].extensions.code, 'NOT_FOUND');
});

test('a gateway that shuts down completes the subscription with an error', async t => {
  const { tenant, ask, gateway } = await start(t);
  const receiver = await startReceiver(t);
  await ask(tenant.addTask(LASTING), subscriptionTo(receiver.url));
  await until(() => receiver.of('next').length === 1);
  await gateway.close();
  assert.deepEqual(receiver.actions(), ['check', 'next', 'complete']);
  assert.equal(receiver.messages.at(-1)?.errors?.[0].extensions.code, 'UPSTREAM_UNAVAILABLE');
});

test('nothing is sent to a host that is not listed, nor for callers other than the router', async t => {
  const receiver = await startReceiver(t);
  const { host, port } = new URL(receiver.url);
  const secret = 'a secret of the router';
  const cases: [Record<string, string>, string, Record<string, string>, boolean][] = [
    [{ SUBSCRIPTION_CALLBACK_HOSTS: '' }, receiver.url, {}, false],
    [{ SUBSCRIPTION_CALLBACK_HOSTS: 'router.example.com' }, receiver.url, {}, false],
    [{ SUBSCRIPTION_CALLBACK_HOSTS: '127.0.0.1:1' }, receiver.url, {}, false],
    [{}, receiver.url.replace('127.0.0.1', 'localhost'), {}, false],
    [{}, receiver.url.replace('http://', 'http://me:pw@'), {}, false],
    [{}, receiver.url.replace('http://', 'ftp://'), {}, false],
    [{ ROUTER_SECRET: secret }, receiver.url, {}, false],
    [{ ROUTER_SECRET: secret }, receiver.url, { 'router-authorization': 'another one' }, false],
    [{ ROUTER_SECRET: secret }, receiver.url, { 'router-authorization': secret }, true],
    [{ SUBSCRIPTION_CALLBACK_HOSTS: host }, receiver.url, {}, true],
    [
      { SUBSCRIPTION_CALLBACK_HOSTS: 'localhost' },
      receiver.url.replace('127.0.0.1', 'localhost'),
      {},
      true,
    ],
  ];
  assert.ok(port);
  for (const [env, url, headers, isAllowed] of cases) {
    const { tenant, ask } = await start(t, { env });
    const before = receiver.messages.length;
    const { code } = await ask(tenant.addTask(LASTING), subscriptionTo(url), headers);
    assert.equal(code, isAllowed ? undefined : 'FORBIDDEN', `${JSON.stringify(env)} ${url}`);
    assert.equal(receiver.messages.length > before, isAllowed);
  }
});

test('an incomplete callback request is refused', async t => {
  const { tenant, ask } = await start(t);
  const receiver = await startReceiver(t);
  const id = tenant.addTask(LASTING);
  for (const wrong of [
    { callbackUrl: 'nowhere' },
    { callbackUrl: undefined },
    { verifier: undefined },
    { subscriptionId: 7 },
    { heartbeatIntervalMs: 1 },
    { heartbeatIntervalMs: -1 },
    { heartbeatIntervalMs: '5000' },
  ]) {
    const { status, code } = await ask(id, { ...subscriptionTo(receiver.url), ...wrong });
    assert.deepEqual([status, code], [400, 'BAD_USER_INPUT'], JSON.stringify(wrong));
  }
  assert.deepEqual(receiver.messages, []);
});

test('a listed name that resolves to this machine is not used, unless that address is listed too', async t => {
  const receiver = await startReceiver(t);
  const url = new URL(receiver.url.replace('127.0.0.1', 'router.example.com'));
  const leadsTo = (address: string) =>
    ((_host: string, _options: object, done: (error: null, all: object[]) => void) =>
      done(null, [{ address, family: address.includes(':') ? 6 : 4 }])) as typeof lookup;
  const send = async (hosts: string[], address: string) => {
    const sender = createCallbackSender({
      hosts,
      proxy: { httpProxy: null, httpsProxy: null, noProxy: '' },
      userAgent: 'test',
      log: createCapturedLog(),
      resolve: leadsTo(address),
    });
    t.after(() => sender.close());
    assert.ok(sender.allows(url));
    return sender.send(url, '{"action":"check"}', { isRetried: false });
  };
  assert.equal(await send(['router.example.com'], '127.0.0.1'), 'failed');
  assert.deepEqual(receiver.messages, []);
  assert.equal(await send(['router.example.com', '127.0.0.1'], '127.0.0.1'), 'accepted');
});

test('callbacks use the proxy of the environment, and failures are logged with their cause', async t => {
  const received: string[] = [];
  const proxy = createServer((request, response) => {
    received.push(`${request.method} ${request.url} ${request.headers['user-agent']}`);
    response.writeHead(204).end();
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  const log = createCapturedLog();
  const sender = createCallbackSender({
    hosts: ['router.example.test', '127.0.0.1'],
    proxy: {
      httpProxy: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
      httpsProxy: null,
      noProxy: '',
    },
    userAgent: 'gateway/1',
    log,
  });
  t.after(() => sender.close());
  const send = (url: string) => sender.send(new URL(url), '{}', { isRetried: false });
  assert.equal(await send('http://router.example.test/callback/1?x=secret'), 'accepted');
  assert.deepEqual(received, ['POST http://router.example.test/callback/1?x=secret gateway/1']);
  assert.equal(log.lines.length, 0);

  assert.equal(await send('http://127.0.0.1:1/callback/1?x=secret'), 'failed');
  const [line] = log.lines;
  assert.deepEqual(
    [line?.['cause'], line?.['host'], log.lines.length],
    ['the connection was refused (127.0.0.1:1)', '127.0.0.1:1', 1],
  );
  assert.doesNotMatch(JSON.stringify(log.lines), /secret/);
});

test('addresses of this machine and link-local ones are internal, in any notation', () => {
  const isInternal = createInternalCheck(['router.example.com', '169.254.7.7']);
  const near = [
    '127.0.0.1',
    '127.8.8.8',
    '0.0.0.0',
    '169.254.169.254',
    '100.100.100.200',
    '::1',
    '::',
    'fe80::1',
    '::ffff:127.0.0.1',
    '::ffff:169.254.169.254',
    '::127.0.0.1',
    '64:ff9b::a9fe:a9fe',
    'fd00:ec2::254',
  ];
  const far = ['10.0.0.7', '192.168.1.1', '93.184.216.34', '2001:db8::1', '169.254.7.7'];
  assert.deepEqual(
    [...near, ...far].filter(address => isInternal('router.example.com', address)),
    near,
  );
  assert.equal(isInternal('localhost', '127.0.0.1'), false);
});
