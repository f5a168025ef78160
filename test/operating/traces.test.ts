import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { SPECIFIED_ROW } from '../support/row.ts';

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

function textOf(span: ReceivedSpan | undefined, key: string): string | undefined {
  return span?.attributes.find(attribute => attribute.key === key)?.value.stringValue;
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

test('a read that fails is traced with its code, and each of its attempts', async t => {
  const { query, gateway, collector, upstream } = await start(t);
  upstream.respond = response => sendJson(response, 503, { messages: [{ text: 'Later.' }] });
  await query('{ taskStatuses { nodes { id } } }');
  await gateway.close();
  const attempts = collector.spans().filter(({ name }) => name === 'attempt');
  assert.equal(attempts.length, upstream.requests.length);
  assert.ok(attempts.length > 1 && attempts.every(({ status }) => status.code === 2));
  const operation = collector.spans().find(({ name }) => name === 'operation');
  assert.equal(textOf(operation, 'error.type'), 'UPSTREAM_UNAVAILABLE');
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
