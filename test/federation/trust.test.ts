import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Trace } from '@apollo/usage-reporting-protobuf';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { fetchToken, postGraphQL, startGateway } from '../support/start.ts';
import { startSupergraph } from '../support/supergraph.ts';
import { collect, subscribe } from '../support/subscribe.ts';

const SECRET = 'only the router knows it';
const SDL = '{ _service { sdl } }';
const BY_ID = 'query ($id: ID!) { taskStatus(id: $id) { id } }';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';
const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const ISSUER = 'https://router.example.com';

/** Keys as an issuer publishes them, and tokens signed with them. */
async function startIssuer(t: TestContext) {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const jwk = await exportJWK(publicKey);
  const server = createServer((_request, response) => {
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ keys: [{ ...jwk, alg: 'RS256', kid: 'k' }] }));
  }).listen(0, '127.0.0.1');
  await new Promise(resolve => server.once('listening', resolve));
  t.after(() => server.close());
  return {
    env: {
      ROUTER_JWKS_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      ROUTER_JWT_ISSUER: ISSUER,
      ROUTER_JWT_AUDIENCE: 'task-status',
    },
    sign: (audience: string, expires = '1m') =>
      new SignJWT({})
        .setProtectedHeader({ alg: 'RS256', kid: 'k' })
        .setIssuer(ISSUER)
        .setAudience(audience)
        .setExpirationTime(expires)
        .sign(privateKey),
  };
}

/**
 * Whether a socket with these headers and this `connection_init` is accepted; otherwise its close
 * code.
 */
function connect(
  url: string,
  headers: Record<string, string>,
  connectionParams: Record<string, unknown>,
): Promise<number | 'in'> {
  return new Promise(resolve => {
    const client = createClient({
      url: url.replace('http', 'ws'),
      webSocketImpl: class extends WebSocket {
        constructor(address: string, protocols: string) {
          super(address, protocols, { headers });
        }
      },
      connectionParams,
      lazy: false,
      retryAttempts: 0,
      onNonLazyError: () => {},
      on: {
        connected: () => {
          resolve('in');
          void client.dispose();
        },
        closed: event => resolve((event as { code: number }).code),
      },
    });
  });
}

test('with DIRECT_TRAFFIC=refuse, only the router is served, over every transport', async t => {
  const { tenant, url } = await startGateway(t, {
    env: { ROUTER_SECRET: SECRET, DIRECT_TRAFFIC: 'refuse' },
  });
  const id = tenant.addTask(ENDED);
  const router = { 'router-authorization': SECRET };
  const wrong = { 'router-authorization': `${SECRET} or not` };

  assert.equal((await postGraphQL(url, BY_ID, { id }, router)).data.taskStatus.id, id);
  for (const headers of [{}, wrong]) {
    const { status, errors, data } = await postGraphQL(url, BY_ID, { id }, headers);
    assert.deepEqual([status, errors?.[0]?.extensions.code, data], [403, 'FORBIDDEN', undefined]);
    assert.equal((await fetch(url, { headers: { accept: 'text/html', ...headers } })).status, 403);
    assert.equal((await fetch(`${url}/stream`, { method: 'PUT', headers })).status, 403);
  }
  assert.equal(await connect(url, router, {}), 'in');
  assert.equal(await connect(url, {}, router), 'in');
  assert.equal(await connect(url, {}, { headers: router }), 'in');
  assert.equal(await connect(url, {}, {}), 4403);
  assert.equal(await connect(url, wrong, {}), 4403);
  assert.equal((await fetch(url.replace('/graphql', '/health/live'))).status, 200);
});

test('a router may send a JWT instead, which must verify', async t => {
  const issuer = await startIssuer(t);
  const { url } = await startGateway(t, { env: { ...issuer.env, DIRECT_TRAFFIC: 'refuse' } });
  const statusFor = async (authorization: string) =>
    (await postGraphQL(url, '{ __typename }', {}, { 'router-authorization': authorization }))
      .status;
  assert.equal(await statusFor(`Bearer ${await issuer.sign('task-status')}`), 200);
  assert.equal(await statusFor(`Bearer ${await issuer.sign('another')}`), 403);
  assert.equal(await statusFor(`Bearer ${await issuer.sign('task-status', '-1m')}`), 403);
  assert.equal(await statusFor('Bearer nonsense'), 403);
  assert.equal(await statusFor(await issuer.sign('task-status')), 403);
});

test('without introspection, only the router gets the SDL', async t => {
  const { query } = await startGateway(t, {
    env: { ROUTER_SECRET: SECRET, INTROSPECTION: 'false' },
  });
  assert.equal((await query(SDL)).errors?.[0]?.extensions.code, 'FORBIDDEN');
  const { data } = await query(SDL, {}, { 'router-authorization': SECRET });
  assert.match(data._service.sdl, /type TaskStatus @key/);
});

for (const subscriptions of ['sse', 'ws', 'http-callback'] as const)
  test(`a trusted router federates a subgraph that refuses others, with ${subscriptions} for subscriptions`, async t => {
    const { tasks, url } = await startSupergraph(t, {
      subscriptions,
      headers: { 'router-authorization': SECRET },
      gateway: {
        env: {
          ROUTER_SECRET: SECRET,
          DIRECT_TRAFFIC: 'refuse',
          INTROSPECTION: 'false',
          SUBSCRIPTION_CALLBACK_HOSTS: '127.0.0.1',
        },
      },
    });
    const id = tasks.tenant.addTask(ENDED);
    assert.equal((await postGraphQL(url, BY_ID, { id })).data.taskStatus.id, id);
    const [event] = await collect(subscribe(t, 'sse', url, PROGRESS, { id }));
    assert.deepEqual(event.data, { taskProgress: { id, state: 'COMPLETED' } });
  });

test("over WebSocket, the caller's token is read from where routers put it", async t => {
  const { sandbox, tenant, url } = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
  const id = tenant.addTask(ENDED);
  const token = await fetchToken(sandbox);
  for (const params of [
    { authorization: `Bearer ${token}` },
    { Authorization: `Bearer ${token}` },
    { headers: { authorization: `Bearer ${token}` } },
    { connectionParams: { token: `Bearer ${token}` } },
    { token },
  ]) {
    const client = createClient({
      url: url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      lazyCloseTimeout: 0,
      connectionParams: params,
    });
    const [event] = await collect(client.iterate<any>({ query: PROGRESS, variables: { id } }));
    assert.equal(event?.data?.taskProgress.id, id, JSON.stringify(Object.keys(params)));
  }
});

test('an operation is traced if a trusted router requests it and tracing is enabled', async t => {
  const ask = { 'apollo-federation-include-trace': 'ftv1' };
  const router = { 'router-authorization': SECRET };
  const off = await startGateway(t);
  assert.equal(await traceOf(off.url, ask), null);

  const { url, tenant, sandbox } = await startGateway(t, {
    env: { FEDERATED_TRACING: 'true', ROUTER_SECRET: SECRET },
  });
  const id = tenant.addTask(ENDED);
  assert.equal(await traceOf(url, ask), null);
  assert.equal(await traceOf(url, router), null);
  sandbox.faults.order({ fault: { kind: 'status', status: 403 }, times: 1 });
  const trace = await traceOf(url, { ...ask, ...router }, id);
  assert.ok(Number(trace?.durationNs) > 0);
  const [node] = trace?.root?.child ?? [];
  assert.equal(node?.responseName, 'mine');
  assert.equal(node?.originalFieldName, 'taskStatus');
  assert.equal(
    node?.error?.[0]?.message,
    'The token lacks permission for this request: A fault was ordered.',
  );

  const open = await startGateway(t, { env: { FEDERATED_TRACING: 'true' } });
  assert.ok(await traceOf(open.url, ask));
  const many = await postGraphQL(
    open.url,
    `query ($of: [_Any!]!) { _entities(representations: $of) { ... on TaskStatus {
      id type uniqueName description launcher created modified launched completed state progress
      percentComplete effectivePercentComplete elapsedSeconds target { id type name } messages { key }
    } } }`,
    { of: open.tenant.addTasks(250, ENDED).map(key => ({ __typename: 'TaskStatus', id: key })) },
    ask,
  );
  assert.equal(many.errors, undefined);
  assert.equal(many.data._entities.length, 250);
  for (const transport of ['sse', 'ws'] as const) {
    const task = open.tenant.addTask(ENDED);
    const [event] = await collect(subscribe(t, transport, open.url, PROGRESS, { id: task }));
    assert.equal(event.data.taskProgress.id, task);
  }

  async function traceOf(to: string, headers: Record<string, string>, task = 'none') {
    const answer = await postGraphQL(
      to,
      'query ($id: ID!) { mine: taskStatus(id: $id) { id } }',
      { id: task },
      headers,
    );
    const { ftv1 } = (answer as { extensions?: { ftv1?: string } }).extensions ?? {};
    return ftv1 ? Trace.decode(Buffer.from(ftv1, 'base64')) : null;
  }
});
