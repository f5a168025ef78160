import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { createCapturedLog } from '../support/captured-log.ts';
import { scrape, sumOf } from '../support/exposition.ts';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { SPECIFIED_ROW } from '../support/row.ts';
import { postGraphQL, startGateway, startSandbox } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  attributes: { key: string; value: { stringValue?: string; intValue?: number } }[];
  links?: { traceId: string; spanId: string }[];
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  status: { code: number };
}

interface Received {
  resourceSpans: {
    resource: { attributes: ReceivedSpan['attributes'] };
    scopeSpans: { spans: ReceivedSpan[] }[];
  }[];
}

const BY_ID = 'query Screen($id: ID!) { taskStatus(id: $id) { id } }';

/** A collector that takes OTLP/HTTP in JSON. */
async function startCollector(t: TestContext) {
  const received: Received[] = [];
  const paths: string[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    paths.push(request.url ?? '');
    received.push(JSON.parse(body) as Received);
    sendJson(response, 200, {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    paths,
    resources: () => received.flatMap(({ resourceSpans }) => resourceSpans),
    spans: () =>
      received
        .flatMap(({ resourceSpans }) => resourceSpans)
        .flatMap(({ scopeSpans }) => scopeSpans)
        .flatMap(({ spans }) => spans),
  };
}

/** The SDK reads the environment of the process. */
function setEnvironment(t: TestContext, variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) {
    process.env[name] = value;
    t.after(() => delete process.env[name]);
  }
}

async function start(t: TestContext, more: Record<string, string> = {}) {
  const collector = await startCollector(t);
  const upstream = await startHostileUpstream(t);
  upstream.respond = (response, { url = '' }) => {
    const ids = [...decodeURIComponent(url).matchAll(/"([\w-]+)"/g)].map(([, id = '']) => id);
    sendJson(
      response,
      200,
      ids.map(id => Object.assign({}, SPECIFIED_ROW, { id })),
    );
  };
  const otel = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...more };
  setEnvironment(t, otel);
  const gateway = await startGatewayOver(t, upstream.url, otel);
  return { ...gateway, collector, upstream };
}

function numberOf(span: ReceivedSpan | undefined, key: string): number {
  return Number(span?.attributes.find(attribute => attribute.key === key)?.value.intValue);
}

function textOf(span: ReceivedSpan | undefined, key: string): string | undefined {
  return span?.attributes.find(attribute => attribute.key === key)?.value.stringValue;
}

function millisOf(span: ReceivedSpan | undefined): number {
  return span === undefined
    ? Number.NaN
    : Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6;
}

test('operations that share a batch are traced down to the one attempt that upstream is told of', async t => {
  const { query, gateway, collector, upstream } = await start(t, {
    OTEL_SERVICE_NAME: 'our-gateway',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=test',
  });
  const traceIds = ['a', 'b', 'c'].map(letter => letter.repeat(32));
  await Promise.all(
    traceIds.map((traceId, place) =>
      query(BY_ID, { id: `task-${place}` }, { traceparent: `00-${traceId}-00f067aa0ba902b7-01` }),
    ),
  );
  await gateway.close();

  const spans = collector.spans();
  const named = (name: string) => spans.filter(span => span.name === name);
  const operations = named('operation');
  assert.deepEqual(operations.map(({ traceId }) => traceId).toSorted(), traceIds);
  for (const operation of operations) {
    assert.equal(operation.parentSpanId, '00f067aa0ba902b7');
    assert.equal(textOf(operation, 'graphql.operation.name'), 'Screen');
  }
  const [batch, ...otherBatches] = named('batch');
  assert.ok(batch && otherBatches.length === 0);
  assert.ok(operations.some(({ spanId }) => spanId === batch.parentSpanId));
  assert.deepEqual(
    batch.links?.map(({ spanId }) => spanId).toSorted(),
    operations.map(({ spanId }) => spanId).toSorted(),
  );
  const wait = named('wait for the budget').find(
    ({ parentSpanId }) => parentSpanId === batch.spanId,
  );
  assert.ok(wait && BigInt(wait.startTimeUnixNano) <= BigInt(wait.endTimeUnixNano));
  const attempt = named('attempt').find(({ parentSpanId }) => parentSpanId === batch.spanId);
  assert.equal(textOf(attempt, 'http.request.method'), 'GET');
  assert.equal(attempt?.traceId, batch.traceId);
  assert.deepEqual(
    upstream.requests.map(({ headers }) => headers['traceparent']),
    [`00-${attempt?.traceId}-${attempt?.spanId}-01`],
  );
  const resource = collector
    .resources()[0]
    ?.resource.attributes.map(({ key, value }) => [key, value.stringValue]);
  assert.ok(resource?.some(([key, value]) => key === 'service.name' && value === 'our-gateway'));
  assert.ok(resource?.some(([key, value]) => key === 'deployment.environment' && value === 'test'));
  assert.ok(collector.paths.every(path => path === '/v1/traces'));
});

test('operations that share a response have a link to the one that is executed', async t => {
  const { query, gateway, collector, upstream } = await start(t);
  const { respond } = upstream;
  await query(BY_ID, { id: 'before' });
  let answer = () => {};
  upstream.respond = (response, request) => (answer = () => respond(response, request));
  const asked = async () =>
    sumOf(await scrape(gateway.metricsUrl), 'task_status_gateway_memory_lookups_total', {
      kind: 'response',
    });
  const traceIds = ['a', 'b', 'c'].map(letter => letter.repeat(32));
  const answers = [];
  for (const traceId of traceIds) {
    const before = await asked();
    const headers = { traceparent: `00-${traceId}-00f067aa0ba902b7-01` };
    answers.push(query(BY_ID, { id: 'task' }, headers));
    await until(async () => upstream.requests.length === 2 && (await asked()) > before);
  }
  answer();
  await Promise.all(answers);
  await gateway.close();

  assert.equal(upstream.requests.length, 2);
  const [first, ...others] = traceIds.map(traceId =>
    collector.spans().find(span => span.name === 'operation' && span.traceId === traceId),
  );
  assert.deepEqual(first?.links, []);
  for (const { links } of others as ReceivedSpan[])
    assert.deepEqual(
      links?.map(({ traceId, spanId }) => [traceId, spanId]),
      [[first?.traceId, first?.spanId]],
    );
});

test('a read that fails is traced with its code, and each of its attempts', async t => {
  const { query, gateway, collector, upstream } = await start(t);
  upstream.respond = response => sendJson(response, 503, { messages: [{ text: 'Later.' }] });
  await query('{ taskStatuses { nodes { id } } }');
  await gateway.close();
  const attempts = collector.spans().filter(({ name }) => name === 'attempt');
  assert.equal(attempts.length, upstream.requests.length);
  assert.ok(attempts.length > 1 && attempts.every(({ status }) => status.code === 2));
  for (const name of ['operation', 'list']) {
    const span = collector.spans().find(span => span.name === name);
    assert.equal(textOf(span, 'error.type'), 'UPSTREAM_UNAVAILABLE', name);
  }
});

for (const [status, headers, code] of [
  [503, {}, 'UPSTREAM_UNAVAILABLE'],
  // The wait for a slot is refused, because the pause is longer than an operation may take.
  [429, { 'retry-after': '120' }, 'RATE_LIMITED'],
] as const)
  test(`a batch that upstream answers with ${status} is traced with ${code}, and so is its wait if that failed`, async t => {
    const { query, gateway, collector, upstream } = await start(t);
    upstream.respond = response => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end('{"messages":[{"text":"Later."}]}');
    };
    for (const id of ['one', 'another']) await query(BY_ID, { id });
    await gateway.close();
    const spans = collector.spans();
    const batches = spans.filter(({ name }) => name === 'batch');
    assert.equal(batches.length, 2);
    for (const batch of batches) assert.equal(textOf(batch, 'error.type'), code);
    const waits = spans.filter(({ name }) => name === 'wait for the budget');
    assert.equal(
      waits.some(wait => textOf(wait, 'error.type') === code),
      code === 'RATE_LIMITED',
    );
  });

for (const [name, document] of [
  ['batch', BY_ID],
  ['list', '{ taskStatuses { nodes { id } } }'],
] as const)
  test(`the wait of a ${name} for a token is traced apart from its wait for the budget`, async t => {
    const collector = await startCollector(t);
    const otel = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
    setEnvironment(t, otel);
    const variables = name === 'batch' ? { id: 'unknown' } : {};
    const sandbox = await startSandbox(t);
    const tokenMs = 400;
    sandbox.faults.order({ fault: { kind: 'latency', ms: tokenMs }, route: 'token', times: 1 });
    const slow = await startGateway(t, { over: sandbox, env: otel });
    // The second time, the token is there.
    for (const extra of [{}, { fresh: true }])
      await slow.query(document, { ...variables, ...extra });
    await slow.gateway.close();
    const childrenOf = (span: ReceivedSpan) =>
      collector.spans().filter(({ parentSpanId }) => parentSpanId === span.spanId);
    const named = (text: string) => collector.spans().filter(span => span.name === text);
    const [first, second] = named(name);
    assert.ok(first && second);
    const [token, budget] = childrenOf(first);
    assert.deepEqual([token?.name, budget?.name], ['wait for a token', 'wait for the budget']);
    assert.ok(millisOf(token) >= tokenMs && millisOf(budget) < tokenMs, `${millisOf(budget)} ms`);
    assert.ok(!childrenOf(second).some(span => span.name === 'wait for a token'));

    sandbox.faults.order({ fault: { kind: 'status', status: 503 }, route: 'token' });
    const failing = await startGateway(t, { over: sandbox, env: otel });
    await failing.query(document, variables);
    await failing.gateway.close();
    const failed = named(name).at(-1);
    assert.ok(failed);
    assert.deepEqual(
      childrenOf(failed).map(span => [span.name, textOf(span, 'error.type')]),
      [['wait for a token', 'UPSTREAM_UNAVAILABLE']],
    );
  });

test('a wait for another request to try the token is traced as one for a token', async t => {
  const { gateway, collector } = await start(t, { AUTH_MODE: 'passthrough' });
  await postGraphQL(
    gateway.url,
    '{ first: taskStatuses(first: 1) { nodes { id } } second: taskStatuses(first: 2) { nodes { id } } }',
    {},
    { authorization: 'Bearer token' },
  );
  await gateway.close();
  const spans = collector.spans();
  const childrenOf = (span: ReceivedSpan) =>
    spans.filter(({ parentSpanId }) => parentSpanId === span.spanId).map(child => child.name);
  assert.deepEqual(spans.filter(span => span.name === 'list').map(childrenOf), [
    ['wait for the budget', 'attempt'],
    ['wait for a token', 'wait for the budget', 'attempt'],
  ]);
});

test('an operation that waits for a batch under way has a link to it', async t => {
  const { query, gateway, collector, upstream } = await start(t);
  const { respond } = upstream;
  let answer = () => {};
  upstream.respond = (response, request) => (answer = () => respond(response, request));
  const first = query(BY_ID, { id: 'task' });
  await until(() => upstream.requests.length === 1);
  const asked = async () =>
    sumOf(await scrape(gateway.metricsUrl), 'task_status_gateway_memory_lookups_total', {
      kind: 'task',
    });
  const before = await asked();
  const second = query('query Second($id: ID!) { task: taskStatus(id: $id) { id } }', {
    id: 'task',
  });
  await until(async () => (await asked()) > before);
  answer();
  await Promise.all([first, second]);
  await gateway.close();
  const batch = collector.spans().find(({ name }) => name === 'batch');
  const joined = collector
    .spans()
    .find(span => textOf(span, 'graphql.operation.name') === 'Second');
  assert.deepEqual(
    joined?.links?.map(({ spanId }) => spanId),
    [batch?.spanId],
  );
});

test('each poll is a trace of its own, with the requests that it sent and what it found', async t => {
  const collector = await startCollector(t);
  const otel = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
  setEnvironment(t, otel);
  const log = createCapturedLog();
  const { gateway, tenant, sandbox } = await startGateway(t, { log, env: otel });
  const ids = tenant.addTasks(2, { queueMs: 0, runMs: 86_400_000 });
  const states = ids.map(id =>
    subscribe(t, 'sse', gateway.url, `subscription { taskProgress(id: "${id}") { state } }`),
  );
  await Promise.all(states.map(state => state.next()));
  // Before the list is polled, which may find the change first.
  tenant.finish(ids[0] ?? '');
  for (let state; state !== 'COMPLETED';)
    state = (await states[0]?.next())?.value.data.taskProgress.state;

  const list = subscribe(t, 'sse', gateway.url, 'subscription { taskStatusChanged { kind } }');
  const changes: unknown[] = [];
  void (async () => {
    for await (const { data } of list) changes.push(data);
  })().catch(() => {});
  const before = sandbox.journal.requests.length;
  // The list is read once before it is polled.
  await until(() => sandbox.journal.requests.length > before + 10);
  tenant.addTasks(1);
  await until(() => changes.length > 0);
  sandbox.faults.order({ fault: { kind: 'status', status: 503 } });
  for (const message of ['a poll of tasks failed', 'a poll of a list failed'])
    await until(() => log.lines.some(line => line.message === message));
  await gateway.close();

  const spans = collector.spans();
  for (const [name, polled] of [
    ['poll tasks', 'tasks'],
    ['poll lists', 'lists'],
  ] as const) {
    const roots = spans.filter(span => span.name === name);
    assert.ok(roots.every(({ parentSpanId }) => !parentSpanId));
    assert.equal(new Set(roots.map(({ traceId }) => traceId)).size, roots.length);
    assert.ok(
      roots.some(root => numberOf(root, 'changed') === 1),
      name,
    );
    assert.ok(
      roots.some(root => numberOf(root, 'changed') === 0),
      name,
    );
    assert.ok(
      roots.some(root => textOf(root, 'error.type') === 'UPSTREAM_UNAVAILABLE'),
      name,
    );
    for (const root of roots) {
      const within = (parent: ReceivedSpan, child: string) =>
        spans.filter(span => span.parentSpanId === parent.spanId && span.name === child);
      assert.ok(numberOf(root, polled) >= 1);
      const requests = spans.filter(({ parentSpanId }) => parentSpanId === root.spanId);
      const count = (child: string) => requests.flatMap(request => within(request, child)).length;
      assert.equal(numberOf(root, 'requests'), count('attempt'));
      assert.ok(count('wait for the budget') >= count('attempt'));
    }
  }
});

test('the poll of an account aggregation is a trace of its own', async t => {
  const collector = await startCollector(t);
  const otel = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url };
  setEnvironment(t, otel);
  const { gateway, tenant } = await startGateway(t, { env: otel });
  const id = tenant.addTask({
    definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
    queueMs: 0,
    runMs: 5_000,
  });
  const query = `subscription {
    taskProgress(id: "${id}") { accountAggregation { processedAccounts } }
  }`;
  const events = subscribe(t, 'sse', gateway.url, query);
  // The first is read when the subscription begins.
  await events.next();
  await events.next();
  await gateway.close();

  const root = collector.spans().find(({ name }) => name === 'poll aggregation');
  assert.ok(root && !root.parentSpanId);
  assert.deepEqual([numberOf(root, 'requests'), numberOf(root, 'changed')], [1, 1]);
  const request = collector.spans().find(({ parentSpanId }) => parentSpanId === root.spanId);
  assert.equal(request?.name, 'aggregation');
});

test('the standard sampler variables decide what is traced', async t => {
  const { query, gateway, collector, upstream } = await start(t, {
    OTEL_TRACES_SAMPLER: 'always_off',
  });
  await query(BY_ID, { id: 'task' });
  await gateway.close();
  assert.equal(collector.spans().length, 0);
  assert.match(
    String(upstream.requests[0]?.headers['traceparent']),
    /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/,
  );
});

test('a collector that is down neither fails an operation nor holds up the end', async t => {
  const upstream = await startHostileUpstream(t);
  const otel = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://127.0.0.1:1/v1/traces' };
  setEnvironment(t, otel);
  const { query, gateway } = await startGatewayOver(t, upstream.url, otel);
  assert.equal((await query('{ taskStatuses { nodes { id } } }')).errors, undefined);
  const startedAt = performance.now();
  await gateway.close();
  assert.ok(performance.now() - startedAt < 10_000);
});

test('a collector that refuses traces is logged once, and once more when it takes them', async t => {
  const statuses: number[] = [];
  let status = 401;
  const server = createServer((request, response) => {
    request.resume();
    statuses.push(status);
    response.writeHead(status).end('{}');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const upstream = await startHostileUpstream(t);
  const otel = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    OTEL_BSP_SCHEDULE_DELAY: '1',
  };
  setEnvironment(t, otel);
  const { query, log } = await startGatewayOver(t, upstream.url, otel);
  const lines = () => log.lines.filter(({ message }) => message.startsWith('traces '));
  const untilSent = async (count: number) => {
    while (statuses.length < count) await query('{ __typename }');
  };
  await untilSent(2);
  status = 200;
  await untilSent(statuses.length + 2);
  await until(() => lines().length === 2);
  assert.deepEqual(lines(), [
    { level: 'warn', message: 'traces cannot be sent to the collector', cause: 'status 401' },
    { level: 'info', message: 'traces are sent to the collector again' },
  ]);
});

test('without a collector nothing is traced, and upstream is sent no traceparent', async t => {
  const upstream = await startHostileUpstream(t);
  const { query } = await startGatewayOver(t, upstream.url, {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1',
    OTEL_SDK_DISABLED: 'true',
  });
  await query(
    '{ taskStatuses { nodes { id } } }',
    {},
    { traceparent: `00-${'a'.repeat(32)}-00f067aa0ba902b7-01` },
  );
  assert.equal(upstream.requests[0]?.headers['traceparent'], undefined);
});
