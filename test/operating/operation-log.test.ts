import assert from 'node:assert/strict';
import { request } from 'node:http';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { type CapturedLog, createCapturedLog } from '../support/captured-log.ts';
import { scrape, sumOf } from '../support/exposition.ts';
import { HandClock } from '../support/hand-clock.ts';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { type StartOptions, fetchToken, postGraphQL, startGateway } from '../support/start.ts';
import { TRANSPORTS, collect, subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

async function start(t: TestContext, options: StartOptions = {}) {
  const log = createCapturedLog();
  const gateway = await startGateway(t, { ...options, log });
  const lines = (message: string) => log.lines.filter(line => line.message === message);
  return { ...gateway, log, lines };
}

test('one line tells of each operation what it was, what came of it and what it took', async t => {
  const { query, tenant, lines } = await start(t);
  const [id] = tenant.addTasks(1);
  await query(
    'query Screen($id: ID!) { taskStatus(id: $id) { id } }',
    { id },
    { 'x-request-id': 'r-1' },
  );
  await query('{ nothing }');
  await query('mutation { nothing }', {}, { authorization: 'Basic secret' });

  const [read, invalid, mutation, ...others] = lines('operation');
  assert.deepEqual(others, []);
  assert.ok(read);
  const { durationMs, budgetWaitMs, hash, ...facts } = read;
  assert.ok(typeof durationMs === 'number' && typeof budgetWaitMs === 'number');
  assert.match(typeof hash === 'string' ? hash : '', /^[0-9a-f]{16}$/);
  assert.deepEqual(facts, {
    level: 'info',
    message: 'operation',
    name: 'Screen',
    type: 'query',
    transport: 'http',
    codes: [],
    upstreamRequests: 1,
    requestId: 'r-1',
  });
  assert.deepEqual(
    [
      invalid?.['codes'],
      invalid?.['type'],
      invalid?.['upstreamRequests'],
      mutation?.['codes'],
      mutation?.['type'],
    ],
    [['BAD_USER_INPUT'], 'query', 0, ['BAD_USER_INPUT'], 'mutation'],
  );
});

test('the names of operations are bounded in the log', async t => {
  const { query, lines } = await start(t);
  await query(`query ${'N'.repeat(5_000)} { __typename }`);
  assert.equal(String(lines('operation')[0]?.['name']).length, 60);
});

test('an operation that is refused before it is parsed has a line too', async t => {
  const { url, query, lines } = await start(t, { env: { AUTH_MODE: 'passthrough' } });
  await query('{ taskStatuses { nodes { id } } }');
  await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{' });
  assert.deepEqual(
    lines('operation').map(({ codes }) => codes),
    [['UNAUTHENTICATED'], ['BAD_USER_INPUT']],
  );
});

test('operations that share a batch each count its request, and one from memory counts none', async t => {
  const { query, tenant, lines, requests } = await start(t, { env: { MAX_STALENESS_MS: '60000' } });
  const ids = tenant.addTasks(3);
  const read = (id?: string) => query('query ($id: ID!) { taskStatus(id: $id) { id } }', { id });
  await Promise.all(ids.map(read));
  await read(ids[0]);
  assert.equal(requests().length, 1);
  assert.deepEqual(
    lines('operation').map(line => line['upstreamRequests']),
    [1, 1, 1, 0],
  );
});

test('the time that an operation waits for the budget is in its line', async t => {
  const { query, lines, sandbox } = await start(t);
  await query('{ taskStatuses { nodes { id } } }');
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '1' }, times: 1 });
  await query('{ taskStatuses { nodes { id } } }');
  const [first, second] = lines('operation').map(line => Number(line['budgetWaitMs']));
  assert.ok(first! < 500 && second! >= 900, `${first} and ${second} ms`);
});

for (const [name, document] of [
  ['a batch', 'query ($id: ID!) { taskStatus(id: $id) { id } }'],
  ['a list', '{ taskStatuses { nodes { id } } }'],
] as const)
  test(`the time that ${name} waits for a token is not in the wait for the budget`, async t => {
    const { query, lines, sandbox } = await start(t);
    const tokenMs = 400;
    sandbox.faults.order({ fault: { kind: 'latency', ms: tokenMs }, route: 'token', times: 1 });
    await query(document, document.includes('$id') ? { id: 'unknown' } : {});
    const [line] = lines('operation');
    const [durationMs, budgetWaitMs] = [line?.['durationMs'], line?.['budgetWaitMs']].map(Number);
    assert.ok(durationMs! >= tokenMs && budgetWaitMs! < tokenMs, `${budgetWaitMs} ms`);

    sandbox.faults.order({ fault: { kind: 'status', status: 503 }, route: 'token' });
    const failing = await start(t, { over: sandbox });
    await failing.query(document, document.includes('$id') ? { id: 'unknown' } : {});
    const [failed] = failing.lines('operation');
    assert.deepEqual(failed?.['codes'], ['UPSTREAM_UNAVAILABLE']);
    assert.equal(failed?.['budgetWaitMs'], 0);
  });

for (const [name, field] of [
  ['a batch', 'taskStatus(id: "unknown") { id }'],
  ['a list', 'taskStatuses { nodes { id } }'],
] as const)
  test(`the time that ${name} waits until upstream accepts the token is not in the wait for the budget`, async t => {
    const { url, sandbox, lines, requests } = await start(t, {
      env: { AUTH_MODE: 'passthrough' },
    });
    const token = await fetchToken(sandbox);
    const trialMs = 400;
    sandbox.faults.order({ fault: { kind: 'latency', ms: trialMs }, times: 1 });
    // The list that is read first tries the token for both.
    const document = `{ first: taskStatuses(first: 1) { nodes { id } } second: ${field} }`;
    await postGraphQL(url, document, {}, { authorization: `Bearer ${token}` });
    assert.equal(requests().length, 2);
    const budgetWaitMs = Number(lines('operation')[0]?.['budgetWaitMs']);
    assert.ok(budgetWaitMs < trialMs, `${budgetWaitMs} ms`);
  });

test('an operation that joins a read of another has the wait and the requests from then on in its line', async t => {
  const clock = new HandClock();
  const log = createCapturedLog();
  const { query, sandbox, gateway, tenant } = await startGateway(t, {
    log,
    clock,
    env: { MAX_STALENESS_MS: '60000' },
  });
  const id = tenant.addTask({
    definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
    queueMs: 0,
    runMs: 3_600_000,
  });
  const aggregation = 'accountAggregation { processedAccounts }';
  const asked = async (kind: string) =>
    sumOf(await scrape(gateway.metricsUrl), 'task_status_gateway_memory_lookups_total', { kind });
  for (const [kind, first, second] of [
    ['list', '{ taskStatuses { nodes { id } } }', '{ taskStatuses { nodes { state } } }'],
    [
      'aggregation',
      `{ taskStatus(id: "${id}") { ${aggregation} } }`,
      `{ taskStatus(id: "${id}") { id ${aggregation} } }`,
    ],
  ] as const) {
    // The task is in memory, so both ask for the aggregation at once.
    if (kind === 'aggregation') await query(`{ taskStatus(id: "${id}") { id } }`);
    log.lines.length = 0;
    const fault = { kind: 'status', status: 429, retryAfter: '10' } as const;
    sandbox.faults.order({ fault, times: 1, route: kind });
    const answers = [query(first)];
    await until(() => log.lines.some(({ message }) => message.startsWith('the budget is paused')));
    clock.advance(4_000);
    const before = await asked(kind);
    answers.push(query(second));
    await until(async () => (await asked(kind)) > before);
    while (log.lines.filter(({ message }) => message === 'operation').length < 2) {
      clock.advance(500);
      await new Promise(setImmediate);
    }
    await Promise.all(answers);
    const lines = log.lines.filter(({ message }) => message === 'operation');
    const waits = lines.map(line => Number(line['budgetWaitMs'])).toSorted((a, b) => a - b);
    assert.equal(waits[1]! - waits[0]!, 4_000, kind);
    assert.ok(waits[0]! > 0);
    assert.deepEqual(
      lines.map(line => line['upstreamRequests']),
      [2, 2],
    );
  }
});

/** Each starts an operation, and leaves when it is called again. */
const LEAVE: Record<string, (url: string, query: string) => () => void> = {
  http(url, query) {
    const client = request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    });
    client.on('error', () => {});
    client.end(JSON.stringify({ query }));
    return () => client.destroy();
  },
  websocket(url, query) {
    const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
    socket.on('open', () => socket.send('{"type":"connection_init"}'));
    socket.once('message', () =>
      socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: { query } })),
    );
    return () => socket.terminate();
  },
};

for (const [transport, begin] of Object.entries(LEAVE))
  for (const query of [
    '{ taskStatuses { nodes { id } } }',
    'mutation { updateTaskStatus(input: { id: "1", completionStatus: ERROR }) { taskStatus { id } } }',
  ])
    test(`${transport}: a client that leaves before ${query} is answered is logged as ABORTED`, async t => {
      const upstream = await startHostileUpstream(t);
      upstream.respond = () => {};
      const { url, log } = await startGatewayOver(t, upstream.url);
      const leave = begin(url, query);
      await until(() => upstream.requests.length === 1);
      leave();
      await until(() => log.lines.some(({ message }) => message === 'operation'));
      const line = log.lines.find(({ message }) => message === 'operation');
      assert.deepEqual(line?.['codes'], ['ABORTED']);
      assert.ok(!log.lines.some(({ level }) => level === 'error'));
    });

for (const transport of TRANSPORTS)
  test(`${transport}: a subscription has a line at its start, and one at its end with the number of events`, async t => {
    const { url, tenant, lines } = await start(t);
    const id = tenant.addTask();
    tenant.finish(id);
    const events = await collect(
      subscribe(t, transport, url, 'subscription P($id: ID!) { taskProgress(id: $id) { id } }', {
        id,
      }),
    );
    await until(() => lines('subscription ended').length === 1);
    const [started] = lines('subscription started');
    const [ended] = lines('subscription ended');
    const name = { sse: 'sse', 'single-connection sse': 'single-connection', ws: 'websocket' }[
      transport
    ];
    assert.deepEqual([started?.['name'], started?.['transport']], ['P', name]);
    assert.deepEqual(
      [ended?.['transport'], ended?.['events'], ended?.['codes']],
      [name, events.length, []],
    );
    assert.equal(started?.['requestId'], ended?.['requestId']);
  });

for (const transport of TRANSPORTS)
  test(`${transport}: a subscription that is refused has one line with its code`, async t => {
    const { url, lines } = await start(t);
    await collect(subscribe(t, transport, url, 'subscription { nothing }')).catch(() => {});
    await until(() => lines('operation').length === 1);
    assert.deepEqual(lines('operation')[0]?.['codes'], ['BAD_USER_INPUT']);
    assert.equal(lines('subscription started').length, 0);
  });

test('a request id is taken from the request, or its trace, or made, and sent back', async t => {
  const { url, lines } = await start(t);
  const trace = '0af7651916cd43dd8448eb211c80319c';
  const traceparent = `00-${trace}-b7ad6b7169203331-01`;
  const cases: [headers: Record<string, string>, id: RegExp][] = [
    [{ 'x-request-id': 'abc-1.2:3' }, /^abc-1\.2:3$/],
    [{ 'x-request-id': 'abc', traceparent }, /^abc$/],
    [{ traceparent }, new RegExp(`^${trace}$`)],
    [{ traceparent: '00-00000000000000000000000000000000-b7ad6b7169203331-01' }, /^[\da-f-]{36}$/],
    [{ traceparent: `cc-${trace}-b7ad6b7169203331-01-what-is-added` }, new RegExp(`^${trace}$`)],
    [{ traceparent: `ff-${trace}-b7ad6b7169203331-01` }, /^[\da-f-]{36}$/],
    [{ traceparent: `00-${trace}-0000000000000000-01` }, /^[\da-f-]{36}$/],
    [{ traceparent: `${traceparent}-more` }, /^[\da-f-]{36}$/],
    [{ traceparent: `${traceparent}, ${traceparent}` }, /^[\da-f-]{36}$/],
    [{ traceparent: traceparent.toUpperCase() }, /^[\da-f-]{36}$/],
    [{ 'x-request-id': 'a"b' }, /^[\da-f-]{36}$/],
    [{ 'x-request-id': 'eyJhbGciOiJub25lIn0.e30.c2lnbmF0dXJl' }, /^[\da-f-]{36}$/],
    [{ 'x-request-id': 'x'.repeat(129) }, /^[\da-f-]{36}$/],
    [{}, /^[\da-f-]{36}$/],
  ];
  for (const [headers, id] of cases) {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: '{"query":"{ __typename }"}',
    });
    await response.text();
    assert.match(response.headers.get('x-request-id') ?? '', id);
    assert.equal(lines('operation').at(-1)?.['requestId'], response.headers.get('x-request-id'));
  }
});

test('a failed attempt is logged with its cause and the tracking id of upstream', async t => {
  const upstream = await startHostileUpstream(t);
  upstream.respond = response =>
    sendJson(response, 500, {
      detailCode: '500.0',
      trackingId: 'track-1',
      messages: [{ text: 'Oops' }],
    });
  const { query, log } = await startGatewayOver(t, upstream.url);
  await query('{ taskStatuses { nodes { id } } }');
  const attempts = log.lines.filter(({ message }) => message === 'an attempt at upstream failed');
  assert.equal(attempts.length, upstream.requests.length);
  const [attempt] = attempts;
  assert.deepEqual(
    [attempt?.level, attempt?.['status'], attempt?.['trackingId'], attempt?.['cause']],
    ['warn', 500, 'track-1', 'status 500, with a message of upstream'],
  );
});

test('no log line holds a token, a header or a variable, whatever happens', async t => {
  const log = createCapturedLog();
  const { url, sandbox, query } = await startGateway(t, { log, env: { AUTH_MODE: 'passthrough' } });
  const token = await fetchToken(sandbox);
  const secrets = ['SECRET-VARIABLE', 'SECRET-HEADER', 'SECRET-TOKEN', token];
  const headers = { authorization: `Bearer ${token}`, 'x-secret': 'SECRET-HEADER' };
  const variables = { id: 'SECRET-VARIABLE' };
  await query('query ($id: ID!) { taskStatus(id: $id) { id } }', variables, headers);
  await query('query ($id: ID!) { taskStatus(id: $id) { id } }', variables, {
    authorization: 'Bearer SECRET-TOKEN',
  });
  await query('query ($id: Int!) { taskStatus(id: $id) { id } }', variables, headers);
  for (const transport of TRANSPORTS)
    await subscribe(
      t,
      transport,
      url,
      'subscription ($id: ID!) { taskProgress(id: $id) { id } }',
      variables,
      headers.authorization,
    )
      .next()
      .catch(() => {});
  await until(() => log.lines.filter(({ message }) => /operation|ended/.test(message)).length >= 6);
  checkLines(log, secrets);
});

test('no log line of a failed request or poll holds an id or a filter of a caller', async t => {
  const { log, lines, query, url, tenant, sandbox } = await start(t);
  const inner =
    'updateTaskStatus(input: { id: $id, completionStatus: ERROR }) { taskStatus { id } }';
  const update = () => query(`mutation ($id: ID!) { ${inner} }`, { id: 'SECRET-ID' });
  await update();
  const id = tenant.addTask({
    definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
    queueMs: 0,
    runMs: 86_400_000,
  });
  const list = subscribe(
    t,
    'ws',
    url,
    `subscription ($filter: TaskStatusFilter) {
      taskStatusChanged(filter: $filter, snapshot: true) { kind }
    }`,
    { filter: { sourceId: { in: ['SECRET-SOURCE'] } } },
  );
  await list.next();
  const fault = { kind: 'status', status: 503 } as const;
  sandbox.faults.order({ fault, route: 'aggregation' });
  const ofTask = 'taskStatus(id: $id) { accountAggregation { percentComplete } }';
  await query(`query ($id: ID!) { ${ofTask} }`, { id });
  sandbox.faults.order({ fault });
  await update();
  await until(() => lines('a poll of a list failed').length > 0);
  assert.deepEqual(
    new Set(lines('an attempt at upstream failed').map(line => line['request'])),
    new Set([
      'GET /account-aggregations/v1/{id}/status',
      'PATCH /task-status/v1/{id}',
      'GET /task-status/v1',
    ]),
  );
  checkLines(log, ['SECRET', id]);
});

/** Fails if a line, or the stack of an error, holds one of these. */
function checkLines(log: CapturedLog, secrets: readonly string[]): void {
  const text = JSON.stringify(log.lines, (_, value: unknown) =>
    value instanceof Error ? [value.message, value.stack] : value,
  );
  for (const secret of secrets) assert.ok(!text.includes(secret), secret);
}
