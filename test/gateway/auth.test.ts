import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { HandClock } from '../support/hand-clock.ts';
import { fetchToken, startGateway } from '../support/start.ts';
import { TRANSPORTS, subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const BY_ID = 'query ($id: ID!) { taskStatus(id: $id) { id } }';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id } }';
const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };

test("passthrough: the caller's token is sent upstream, which accepts or refuses it", async t => {
  const { sandbox, tenant, query, requests } = await startGateway(t, {
    env: { AUTH_MODE: 'passthrough' },
  });
  const [source, other] = tenant.sources;
  const id = tenant.addTask({ ...ENDED, target: source });
  const tokenOf = (sourceId: string) =>
    fetchToken(sandbox, sandbox.clients.add({ sourceIds: [sourceId] }));
  const ask = async (authorization?: string) =>
    query(BY_ID, { id }, authorization ? { authorization } : {});

  const [allowed, refused] = await Promise.all([
    ask(`Bearer ${await tokenOf(source.id)}`),
    ask(`Bearer ${await tokenOf(other.id)}`),
  ]);
  assert.equal(allowed.data.taskStatus.id, id);
  assert.equal(refused.data.taskStatus, null);
  assert.equal(requests().length, 2, 'two callers never share a request');

  for (const authorization of [undefined, 'Basic abc', 'Bearer', 'Bearer a b'])
    assert.equal((await ask(authorization)).errors?.[0]?.extensions.code, 'UNAUTHENTICATED');
  assert.equal(requests().length, 2, 'nothing was sent without a token');
  const forged = (await ask('Bearer not.a.token')).errors?.[0]?.extensions;
  assert.deepEqual([forged?.code, forged?.upstream.status], ['UNAUTHENTICATED', 401]);
});

test('passthrough: the schema can be read without a token', async t => {
  const { query } = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
  assert.equal(
    (await query('{ __schema { queryType { name } } }')).data.__schema.queryType.name,
    'Query',
  );
});

for (const transport of TRANSPORTS)
  test(`passthrough: a subscription over ${transport} sends its own token`, async t => {
    const { sandbox, tenant, url } = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
    const id = tenant.addTask(ENDED);
    const authorization = `Bearer ${await fetchToken(sandbox)}`;
    const { value } = await subscribe(t, transport, url, PROGRESS, { id }, authorization).next();
    assert.equal(value.data.taskProgress.id, id);
    const refused = subscribe(t, transport, url, PROGRESS, { id }).next();
    // In these protocols, an operation that is refused before its execution gets a response instead
    // of a stream.
    if (transport === 'single-connection sse') await assert.rejects(refused, /401/);
    else if (transport === 'ws')
      await assert.rejects(refused, ([error]: any) => error.extensions.code === 'UNAUTHENTICATED');
    else assert.equal((await refused).value.errors[0].extensions.code, 'UNAUTHENTICATED');
  });

test('service: all callers share one token, which is renewed before it expires', async t => {
  const clock = new HandClock();
  const { sandbox, tenant, query } = await startGateway(t, { clock });
  const id = tenant.addTask(ENDED);
  const ask = async () => assert.equal((await query(BY_ID, { id })).data.taskStatus.id, id);
  await Promise.all([ask(), ask(), ask()]);
  assert.equal(sandbox.journal.tokenRequests.length, 1);
  clock.advance(600_000);
  await ask();
  assert.equal(sandbox.journal.tokenRequests.length, 1);
  clock.advance(100_000);
  await Promise.all([ask(), ask()]);
  // In the background: the old token is valid for another minute.
  await until(() => sandbox.journal.tokenRequests.length === 2);
  assert.ok(sandbox.journal.requests.every(({ status }) => status === 200));
});

test('service: a token that upstream refuses is replaced once', async t => {
  const { sandbox, tenant, query } = await startGateway(t);
  const id = tenant.addTask(ENDED);
  await query(BY_ID, { id });
  sandbox.faults.order({ fault: { kind: 'status', status: 401 }, times: 1 });
  assert.equal((await query(BY_ID, { id })).data.taskStatus.id, id);
  assert.equal(sandbox.journal.tokenRequests.length, 2);
  sandbox.faults.order({ fault: { kind: 'status', status: 401 } });
  assert.equal((await query(BY_ID, { id })).errors?.[0]?.extensions.upstream.status, 401);
  assert.equal(sandbox.journal.tokenRequests.length, 3);
});

test("service: if upstream refuses the gateway's credentials, the caller is not blamed for it", async t => {
  const { query } = await startGateway(t, { env: { SAIL_CLIENT_SECRET: 'wrong' } });
  const [error] = (await query(BY_ID, { id: 'a' })).errors ?? [];
  assert.deepEqual(
    [error?.extensions.code, error?.extensions.upstream.status],
    ['UPSTREAM_UNAVAILABLE', 401],
  );
  assert.doesNotMatch(error?.message ?? '', /wrong/);
});

test('service: with JWKS_URL, callers need a valid JWT', async t => {
  const { jwksUrl, sign } = await startIssuer(t);
  const issuer = 'https://issuer.example.com';
  const { tenant, query } = await startGateway(t, {
    env: { JWKS_URL: jwksUrl, JWT_ISSUER: issuer, JWT_AUDIENCE: 'gateway' },
  });
  const id = tenant.addTask(ENDED);
  const ask = async (token?: string) => {
    const { data, errors } = await query(
      BY_ID,
      { id },
      token ? { authorization: `Bearer ${token}` } : {},
    );
    return data?.taskStatus?.id ?? errors?.[0]?.extensions.code;
  };
  assert.equal(await ask(await sign({ iss: issuer, aud: 'gateway' }, '5m')), id);
  assert.equal(await ask(), 'UNAUTHENTICATED');
  assert.equal(await ask(await sign({ iss: issuer, aud: 'another' }, '5m')), 'UNAUTHENTICATED');
  assert.equal(
    await ask(await sign({ iss: 'https://other', aud: 'gateway' }, '5m')),
    'UNAUTHENTICATED',
  );
  assert.equal(await ask(await sign({ iss: issuer, aud: 'gateway' }, '-5m')), 'UNAUTHENTICATED');
  const stranger = await startIssuer(t);
  assert.equal(
    await ask(await stranger.sign({ iss: issuer, aud: 'gateway' }, '5m')),
    'UNAUTHENTICATED',
  );
});

for (const transport of TRANSPORTS)
  test(`service: a subscription over ${transport} ends when the caller's JWT expires`, async t => {
    const clock = new HandClock(Date.now());
    const { jwksUrl, sign } = await startIssuer(t);
    const issuer = 'https://issuer.example.com';
    const { tenant, url } = await startGateway(t, {
      clock,
      env: { JWKS_URL: jwksUrl, JWT_ISSUER: issuer, JWT_AUDIENCE: 'gateway' },
    });
    const id = tenant.addTask({ queueMs: 0, runMs: 3_600_000 });
    const token = await sign({ iss: issuer, aud: 'gateway' }, '5m');
    const events = subscribe(t, transport, url, PROGRESS, { id }, `Bearer ${token}`);
    assert.equal((await events.next()).value.data.taskProgress.id, id);
    const last = events.next();
    clock.advance(330_000);
    assert.equal((await last).value.errors[0].extensions.code, 'UNAUTHENTICATED');
    assert.equal((await events.next()).done, true);
  });

/** An issuer that signs JWTs and publishes its keys. */
async function startIssuer(t: TestContext) {
  const { publicKey, privateKey } = await generateKeyPair('RS256');
  const keys = { keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'RS256' }] };
  const server = createServer((_request, response) =>
    response.setHeader('content-type', 'application/json').end(JSON.stringify(keys)),
  );
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return {
    jwksUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    sign: (claims: Record<string, string>, expiresIn: string) =>
      new SignJWT(claims)
        .setProtectedHeader({ alg: 'RS256', kid: 'k' })
        .setIssuedAt()
        .setExpirationTime(expiresIn)
        .sign(privateKey),
  };
}
