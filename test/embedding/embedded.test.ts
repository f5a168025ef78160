import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import express, { type Express } from 'express';
import { createClient as createWsClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { readConfig } from '../../src/config.ts';
import {
  type EmbeddedGateway,
  type EmbeddedGatewayOptions,
  createGateway,
} from '../../src/gateway.ts';
import {
  type GraphQLAnswer,
  environmentOver,
  postGraphQL,
  startSandbox,
} from '../support/start.ts';

const ORIGIN = 'http://localhost';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';

async function embed(
  t: TestContext,
  env: Record<string, string> = {},
  options: Partial<EmbeddedGatewayOptions> = {},
) {
  const sandbox = await startSandbox(t, { rateLimit: Infinity });
  const config = readConfig({
    ...environmentOver(sandbox),
    PROGRESS_INTERVAL_MS: '20',
    UPSTREAM_RATE_LIMIT: '100000',
    SHUTDOWN_GRACE_MS: '200',
    ...env,
  });
  const gateway = await createGateway({ ...config, ...options });
  t.after(() => gateway.close());
  return { sandbox, gateway };
}

function post(
  query: string,
  variables: Record<string, unknown> = {},
  { path = '/graphql', headers = {}, signal }: PostOptions = {},
) {
  return new Request(ORIGIN + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query, variables }),
    signal: signal ?? null,
  });
}

interface PostOptions {
  path?: string;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** The text of a stream, up to the first match. */
async function readUntil(response: Response, pattern: RegExp): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    if (pattern.test(text)) break;
  }
  return text;
}

test('an embedded gateway answers a Request without a port', async t => {
  const { sandbox, gateway } = await embed(t);
  const [id] = sandbox.tenant.addTasks(1);
  const response = await gateway.fetch(post(`{ taskStatus(id: "${id}") { id } }`));
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type') ?? '', /json/);
  assert.deepEqual(await response.json(), { data: { taskStatus: { id } } });
});

test('many requests at once are each answered with their own task', async t => {
  const { sandbox, gateway } = await embed(t);
  const ids = sandbox.tenant.addTasks(50);
  const answers = await Promise.all(
    ids.map(async id => {
      const response = await gateway.fetch(post(`{ taskStatus(id: "${id}") { id } }`));
      const { data } = (await response.json()) as GraphQLAnswer;
      return data.taskStatus.id as string;
    }),
  );
  assert.deepEqual(answers, ids);
});

test('an embedded gateway streams events, and notices that the reader cancels', async t => {
  const { sandbox, gateway } = await embed(t);
  const [id = ''] = sandbox.tenant.addTasks(1, { queueMs: 0, runMs: 86_400_000 });
  const headers = { accept: 'text/event-stream' };
  const first = await gateway.fetch(post(PROGRESS, { id }, { headers }));
  assert.equal(first.headers.get('content-type'), 'text/event-stream');
  // Leaving the loop cancels the body.
  await readUntil(first, /event: next/);

  const second = await gateway.fetch(post(PROGRESS, { id }, { headers }));
  const ended = readUntil(second, /event: complete/);
  sandbox.tenant.finish(id);
  assert.match(await ended, /COMPLETED[^]*event: complete/);
});

test('a request whose signal aborts is rejected with its reason', async t => {
  const { sandbox, gateway } = await embed(t);
  const [id = ''] = sandbox.tenant.addTasks(1, { queueMs: 0, runMs: 86_400_000 });
  const controller = new AbortController();
  const reason = new Error('no longer needed');
  const headers = { accept: 'text/event-stream' };
  const response = await gateway.fetch(
    post(PROGRESS, { id }, { headers, signal: controller.signal }),
  );
  controller.abort(reason);
  await assert.rejects(response.text());
  await assert.rejects(gateway.fetch(post('{ __typename }', {}, { signal: controller.signal })), {
    message: reason.message,
  });
});

test('when an embedded gateway closes, its streams end with a reason, and later requests get 503', async t => {
  const { sandbox, gateway } = await embed(t, { SHUTDOWN_DELAY_MS: '60000' });
  const [id = ''] = sandbox.tenant.addTasks(1, { queueMs: 0, runMs: 86_400_000 });
  const response = await gateway.fetch(
    post(PROGRESS, { id }, { headers: { accept: 'text/event-stream' } }),
  );
  const text = response.text();
  // No balancer watches an embedded gateway, so it does not wait for one.
  await gateway.close();
  assert.match(await text, /UPSTREAM_UNAVAILABLE/);
  const late = await gateway.fetch(post('{ __typename }'));
  assert.equal(late.status, 503);
  const { errors } = (await late.json()) as GraphQLAnswer;
  assert.equal(errors?.[0]?.extensions['code'], 'UPSTREAM_UNAVAILABLE');
});

test('an unread stream does not hold the close longer than the grace period', async t => {
  const { sandbox, gateway } = await embed(t);
  const [id = ''] = sandbox.tenant.addTasks(1, { queueMs: 0, runMs: 86_400_000 });
  const response = await gateway.fetch(
    post(PROGRESS, { id }, { headers: { accept: 'text/event-stream' } }),
  );
  await gateway.close();
  await response.body?.cancel();
});

test('requests of an embedded gateway meet the same limits as on a port', async t => {
  const { gateway } = await embed(t, { MAX_BODY_BYTES: '1024' });
  const tooLarge = await gateway.fetch(post(`{ __typename } # ${'x'.repeat(200_000)}`));
  assert.equal(tooLarge.status, 413);
  const put = await gateway.fetch(new Request(`${ORIGIN}/graphql`, { method: 'PUT', body: 'x' }));
  assert.equal(put.status, 405);
  const elsewhere = await gateway.fetch(new Request(`${ORIGIN}/elsewhere`));
  assert.equal(elsewhere.status, 404);
  const preflight = await gateway.fetch(
    new Request(`${ORIGIN}/graphql`, { method: 'OPTIONS', headers: { origin: ORIGIN } }),
  );
  assert.equal(preflight.status, 204);
});

test('an address that the application names has its own share of the connections', async t => {
  const { sandbox, gateway } = await embed(t, { MAX_CONNECTIONS_PER_ADDRESS: '1' });
  const [id = ''] = sandbox.tenant.addTasks(1, { queueMs: 0, runMs: 86_400_000 });
  const headers = { accept: 'text/event-stream' };
  const follow = (clientAddress: string) =>
    gateway.fetch(post(PROGRESS, { id }, { headers }), { clientAddress });
  const first = await follow('192.0.2.1');
  assert.equal(first.status, 200);
  assert.equal((await follow('192.0.2.1')).status, 429);
  const other = await follow('192.0.2.2');
  assert.equal(other.status, 200);
  await first.body?.cancel();
  await other.body?.cancel();
});

test('a gateway under a path of the application serves that path only', async t => {
  const { gateway } = await embed(t, {}, { pathPrefix: '/api' });
  const served = await gateway.fetch(post('{ __typename }', {}, { path: '/api/graphql' }));
  assert.deepEqual(await served.json(), { data: { __typename: 'Query' } });
  const elsewhere = await gateway.fetch(post('{ __typename }'));
  assert.equal(elsewhere.status, 404);
  assert.match(await elsewhere.text(), /GraphQL is at \/api\/graphql\./);
});

for (const pathPrefix of ['/api/', 'api', 'api/', '//api//'])
  test(`the path prefix ${pathPrefix} means /api`, async t => {
    const { gateway } = await embed(t, {}, { pathPrefix });
    const served = await gateway.fetch(post('{ __typename }', {}, { path: '/api/graphql' }));
    assert.equal(served.status, 200);
  });

test('the path prefix / means the root', async t => {
  const { gateway } = await embed(t, {}, { pathPrefix: '/' });
  assert.equal((await gateway.fetch(post('{ __typename }'))).status, 200);
});

test('a server of the application passes its requests and WebSockets on, and they count as connections', async t => {
  const { sandbox, gateway } = await embed(
    t,
    { MAX_CONNECTIONS_PER_ADDRESS: '1' },
    { pathPrefix: '/api' },
  );
  const [id = ''] = sandbox.tenant.addTasks(1, { queueMs: 0, runMs: 86_400_000 });
  const server = createServer(gateway.handle).on('upgrade', gateway.upgrade);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close().closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/graphql`;

  const client = createWsClient({ url: url.replace('http', 'ws'), webSocketImpl: WebSocket });
  const events = client.iterate<{ taskProgress: { state: string } }>({
    query: PROGRESS,
    variables: { id },
  });
  const { value } = await events.next();
  assert.equal(value?.data?.taskProgress.state, 'RUNNING');
  const ask = () =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"query":"{ __typename }"}',
    });
  assert.equal((await ask()).status, 429);
  const closed = new Promise(resolve => client.on('closed', resolve));
  await events.return?.();
  await client.dispose();
  await closed;
  while ((await ask()).status !== 200);
});

const MOUNTS: readonly [string, string, (app: Express, gateway: EmbeddedGateway) => unknown][] = [
  ['a path that Express removes', '', (app, { handle }) => app.use('/api', handle)],
  ['the whole application', '/api', (app, { handle }) => app.use(handle)],
  ['one route', '/api', (app, { handle }) => app.all('/api/{*path}', handle)],
];
for (const [where, pathPrefix, mount] of MOUNTS)
  test(`below a path of Express, at ${where}, GET, POST and both modes of SSE are served`, async t => {
    const { sandbox, gateway } = await embed(t, {}, { pathPrefix });
    const [id = ''] = sandbox.tenant.addTasks(1, { queueMs: 0, runMs: 86_400_000 });
    const app = express();
    // It makes objects of parameters, as applications may want.
    app.set('query parser', 'extended');
    mount(app, gateway);
    const server = app.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close().closeAllConnections());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/graphql`;

    const query = '{ __typename }';
    assert.deepEqual((await postGraphQL(url, query)).data, { __typename: 'Query' });
    const parameters = new URLSearchParams({
      query: 'query ($id: ID!) { taskStatus(id: $id) { id } }',
      variables: JSON.stringify({ id }),
    });
    const got = await fetch(`${url}?${parameters}`, { headers: { accept: 'application/json' } });
    assert.deepEqual(await got.json(), { data: { taskStatus: { id } } });
    parameters.set('query', PROGRESS);
    const headers = { accept: 'text/event-stream' };
    const followed = await fetch(`${url}?${parameters}`, { headers });
    await readUntil(followed, /"state":"RUNNING"/);
    const reserved = await fetch(`${url}/stream`, { method: 'PUT' });
    assert.equal(reserved.status, 201);
  });

test('a body that middleware of the application has read is refused with what to change', async t => {
  const { gateway } = await embed(t);
  const app = express().use(express.json()).use(gateway.handle);
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close().closeAllConnections());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/graphql`;
  const { status, errors } = await postGraphQL(url, '{ __typename }');
  assert.equal(status, 500);
  assert.match(errors?.[0]?.message ?? '', /before middleware that parses bodies/);
});

test('an embedded gateway needs a tenant', async () => {
  await assert.rejects(createGateway(readConfig({})), /SAIL_BASE_URL/);
});
