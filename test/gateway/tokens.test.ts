import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { Fault } from '../../src/sandbox/faults.ts';
import { createCapturedLog } from '../support/captured-log.ts';
import { HandClock } from '../support/hand-clock.ts';
import { startGatewayOver } from '../support/hostile-upstream.ts';
import { startGateway } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const BY_ID = 'query ($id: ID!) { taskStatus(id: $id) { id } }';
const LIST = '{ taskStatuses(first: 1) { nodes { id } } }';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id } }';
const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };

type Gateway = Awaited<ReturnType<typeof startGateway>>;

/** Each operation on which a token may be needed first. */
const OPERATIONS: Record<string, (gateway: Gateway, id: string, t: any) => Promise<unknown>> = {
  'a task by id': async ({ query }, id) => (await query(BY_ID, { id })).data?.taskStatus?.id,
  'a list': async ({ query }) => (await query(LIST)).data?.taskStatuses.nodes[0]?.id,
  'a subscription': async ({ url }, id, t) =>
    (await subscribe(t, 'sse', url, PROGRESS, { id }).next()).value?.data?.taskProgress.id,
};
const FAULTS: Fault[] = [
  { kind: 'status', status: 503 },
  { kind: 'status', status: 503, body: '<h1>Service Unavailable</h1>' },
  { kind: 'status', status: 429, retryAfter: '1' },
  { kind: 'drop' },
  { kind: 'truncate' },
];

for (const [operation, read] of Object.entries(OPERATIONS))
  for (const fault of FAULTS)
    test(`a token endpoint that fails once (${Object.values(fault).join(' ')}) is retried for ${operation}`, async t => {
      const gateway = await startGateway(t);
      const id = gateway.tenant.addTask(ENDED);
      gateway.sandbox.faults.order({ fault, route: 'token', times: 1 });
      assert.equal(await read(gateway, id, t), id);
      assert.equal(gateway.sandbox.journal.tokenRequests.length, 2);
    });

test('a 429 of the token endpoint pauses all requests until its Retry-After has passed', async t => {
  const { sandbox, tenant, query } = await startGateway(t);
  tenant.addTask(ENDED);
  const fault = { kind: 'status', status: 429, retryAfter: '1' } as const;
  sandbox.faults.order({ fault, route: 'token', times: 1 });
  assert.equal((await query(LIST)).errors, undefined);
  const [refused, granted] = sandbox.journal.tokenRequests;
  assert.ok(
    granted!.at - refused!.at >= 1_000,
    `requested again after ${granted!.at - refused!.at} ms`,
  );
});

test('a valid token stays in use while its renewal fails, until it expires', async t => {
  const clock = new HandClock();
  const log = createCapturedLog();
  const { sandbox, tenant, query, requests } = await startGateway(t, { clock, log });
  const id = tenant.addTask(ENDED);
  await query(BY_ID, { id });
  clock.advance(700_000);
  sandbox.faults.order({ fault: { kind: 'drop' }, route: 'token' });
  for (let count = 0; count < 4; count++) {
    assert.equal((await query(BY_ID, { id })).data.taskStatus.id, id);
    clock.advance(6_000);
  }
  assert.equal(requests().length, 5);
  await until(() => log.lines.some(({ request }) => request === 'POST /oauth/token'));
  sandbox.faults.clear();
  const before = sandbox.journal.tokenRequests.length;
  // A read renews the token, unless a renewal has just failed.
  while (sandbox.journal.tokenRequests.length === before) {
    clock.advance(500);
    await query(BY_ID, { id });
  }
  clock.advance(60_000);
  assert.equal((await query(BY_ID, { id })).data.taskStatus.id, id);
  assert.ok(sandbox.journal.requests.every(({ status }) => status === 200));
});

test('after refused credentials, the next token request comes after a pause, and the refusal is logged once', async t => {
  const clock = new HandClock();
  const log = createCapturedLog();
  const { sandbox, query } = await startGateway(t, {
    clock,
    log,
    env: { SAIL_CLIENT_SECRET: 'not the secret' },
  });
  const refusals = async () =>
    Promise.all([query(BY_ID, { id: 'a' }), query(LIST), query(LIST)]).then(answers =>
      answers.map(({ errors }) => errors?.[0]?.extensions),
    );
  const expected = (await refusals())[0];
  assert.deepEqual(
    [expected?.['code'], expected?.['retryAfterSeconds'], expected?.['upstream'].status],
    ['UPSTREAM_UNAVAILABLE', 30, 401],
  );
  assert.equal(sandbox.journal.tokenRequests.length, 1);
  clock.advance(10_000);
  for (const extensions of await refusals())
    assert.deepEqual(
      [extensions?.['code'], extensions?.['retryAfterSeconds']],
      ['UPSTREAM_UNAVAILABLE', 20],
    );
  assert.equal(sandbox.journal.tokenRequests.length, 1, 'not requested again within the pause');
  clock.advance(20_000);
  await refusals();
  assert.equal(sandbox.journal.tokenRequests.length, 2);
  const lines = log.lines.filter(({ level }) => level === 'error');
  assert.equal(lines.length, 1);
  assert.match(lines[0]!.message, /SAIL_CLIENT_ID and SAIL_CLIENT_SECRET/);
  assert.ok(!JSON.stringify(log.lines).includes('not the secret'));
});

for (const [operation, read] of Object.entries({ 'a list': LIST, 'a task by id': BY_ID }))
  test(`the wait for a token counts towards the timeout of ${operation}`, async t => {
    const { sandbox, query } = await startGateway(t, { env: { OPERATION_TIMEOUT_MS: '300' } });
    sandbox.faults.order({ fault: { kind: 'latency', ms: 2_000 }, route: 'token' });
    const startedAt = performance.now();
    const [error] = (await query(read, { id: 'a' })).errors ?? [];
    assert.equal(error?.extensions['code'], 'UPSTREAM_TIMEOUT');
    assert.ok(performance.now() - startedAt < 1_900, 'before the token could have come');
  });

test('a caller who disconnects during a token request does not cancel it for others', async t => {
  const { sandbox, tenant, query, url } = await startGateway(t);
  tenant.addTask(ENDED);
  sandbox.faults.order({ fault: { kind: 'latency', ms: 200 }, route: 'token', times: 1 });
  const controller = new AbortController();
  const left = fetch(url, {
    method: 'POST',
    signal: controller.signal,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: LIST }),
  });
  await until(() => sandbox.journal.tokenRequests.length === 1);
  const stays = query(BY_ID, { id: 'unknown' });
  controller.abort();
  await assert.rejects(left);
  assert.equal((await stays).errors, undefined);
  assert.equal(sandbox.journal.tokenRequests.length, 1);
});

test('closing the gateway ends a token request that hangs', async t => {
  const { sandbox, query, gateway } = await startGateway(t);
  sandbox.faults.order({ fault: { kind: 'latency', ms: 5_000 }, route: 'token' });
  const answer = query(LIST).catch(() => 'disconnected');
  await until(() => sandbox.journal.tokenRequests.length === 1);
  await gateway.close();
  await until(() => sandbox.journal.tokenRequests.every(({ isClosed }) => isClosed));
  await answer;
  assert.equal(sandbox.journal.tokenRequests.length, 1);
});

test('an answer of the token endpoint without a token is UPSTREAM_INVALID_RESPONSE, and is logged', async t => {
  const upstream = createServer((_request, response) => response.end('{"hello":"world"}'));
  upstream.listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  t.after(() => {
    upstream.closeAllConnections();
    upstream.close();
  });
  const { port } = upstream.address() as AddressInfo;
  const { query, causes } = await startGatewayOver(t, `http://127.0.0.1:${port}`);
  const [error] = (await query(LIST)).errors ?? [];
  assert.equal(error?.extensions['code'], 'UPSTREAM_INVALID_RESPONSE');
  assert.deepEqual(causes(), ['the answer of the token endpoint holds no token']);
});
