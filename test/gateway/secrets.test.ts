import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type TestContext, test } from 'node:test';
import type { Fault } from '../../src/sandbox/faults.ts';
import { createCapturedLog } from '../support/captured-log.ts';
import { TOKEN, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { startIssuer } from '../support/issuer.ts';
import { WITHOUT_OWN_REDIS, startRedis } from '../support/redis.ts';
import { secretWatchOf } from '../support/secret-watch.ts';
import { fetchToken, startGateway } from '../support/start.ts';
import { TRANSPORTS, subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const LIST = '{ taskStatuses(first: 1) { nodes { id } } }';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id } }';
const FAULTS: Fault[] = [
  { kind: 'status', status: 400 },
  { kind: 'status', status: 401 },
  { kind: 'status', status: 403 },
  { kind: 'status', status: 404 },
  { kind: 'status', status: 429, retryAfter: '1' },
  { kind: 'status', status: 500 },
  { kind: 'status', status: 503, body: '<h1>Service Unavailable</h1>' },
  { kind: 'drop' },
  { kind: 'truncate' },
  { kind: 'malformed' },
];
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** A test of its own, whose hooks run when `end` is called: where a check is expected to fail. */
function innerTest() {
  const hooks: (() => unknown)[] = [];
  const t = { after: (hook: () => unknown) => void hooks.push(hook) } as unknown as TestContext;
  return {
    t,
    async end() {
      let failure: unknown = null;
      for (const hook of hooks)
        await Promise.resolve(hook()).catch((error: unknown) => (failure ??= error));
      if (failure !== null) throw failure as Error;
    },
  };
}

for (const [where, leak] of Object.entries({
  async 'an answer'(
    gateway: Awaited<ReturnType<typeof startGatewayOver>>,
    respond: (body: object) => void,
  ) {
    respond({ id: 'a', created: 1, type: 'QUARTZ', progress: `it was ${TOKEN}` });
    await gateway.query('{ taskStatus(id: "a") { progress } }');
  },
  async 'the log'(
    gateway: Awaited<ReturnType<typeof startGatewayOver>>,
    respond: (body: object) => void,
    t: TestContext,
  ) {
    respond({ id: 'a', created: 1, type: 'QUARTZ' });
    await gateway.query('{ taskStatus(id: "a") { id } }');
    secretWatchOf(t)
      .watchLog(gateway.log)
      .info({ err: new Error('x', { cause: new Error(TOKEN) }) }, 'a leak');
  },
}))
  test(`a token that reaches ${where} fails the test in which it does`, async () => {
    const { t, end } = innerTest();
    const upstream = await startHostileUpstream(t);
    const gateway = await startGatewayOver(t, upstream.url);
    const respond = (body: object) => {
      upstream.respond = response => response.end(JSON.stringify([body]));
    };
    await leak(gateway, respond, t);
    await assert.rejects(end, /secrets were emitted/);
  });

for (const authMode of ['passthrough', 'service'])
  test(`${authMode}: whatever fails at upstream, no secret leaves the gateway`, async t => {
    const log = createCapturedLog();
    const { sandbox, tenant, query, url } = await startGateway(t, {
      log,
      env: {
        AUTH_MODE: authMode,
        UPSTREAM_TIMEOUT_MS: '300',
        OPERATION_TIMEOUT_MS: '1500',
        ROUTER_SECRET: 'the secret of the router',
        LOG_LEVEL: 'debug',
      },
    });
    const id = tenant.addTask({ queueMs: 0, runMs: 86_400_000 });
    const token = await fetchToken(sandbox);
    for (const fault of FAULTS)
      for (const route of ['list', 'token'] as const) {
        sandbox.faults.order({ fault, times: 2, ...(route === 'token' ? { route } : {}) });
        await query(
          LIST,
          {},
          { ...bearer(token), 'router-authorization': 'Bearer a wrong secret of a router' },
        );
      }
    for (const transport of TRANSPORTS) {
      sandbox.faults.order({ fault: { kind: 'status', status: 500 }, times: 1 });
      await subscribe(t, transport, url, PROGRESS, { id }, `Bearer ${token}`)
        .next()
        .catch(() => {});
      await subscribe(t, transport, url, PROGRESS, { id: {} }, `Bearer ${token}x`)
        .next()
        .catch(() => {});
    }
    const refused = await query(LIST, {}, { authorization: `Basic ${token}` });
    assert.ok(authMode === 'service' || refused.errors);
  });

test('a JWT that does not verify, for whichever reason, is not repeated', async t => {
  const issuer = await startIssuer(t, 2);
  const stranger = await startIssuer(t);
  const { query } = await startGateway(t, {
    log: createCapturedLog(),
    env: { JWKS_URL: issuer.jwksUrl, JWT_ISSUER: issuer.issuer, JWT_AUDIENCE: 'gateway' },
  });
  const tokens = await Promise.all([
    issuer.sign({ subject: 'a caller whose name is long' }),
    issuer.sign({ audience: 'another' }),
    issuer.sign({ expiresInSeconds: -300 }),
    issuer.sign({ notBeforeInSeconds: 300 }),
    issuer.sign({ kid: 'unknown' }),
    stranger.sign(),
  ]);
  const answers = [];
  for (const token of tokens) answers.push(await query(LIST, {}, bearer(token)));
  issuer.fault = response => response.writeHead(500).end();
  for (const token of [...tokens, `${tokens[0]}.x`])
    answers.push(await query(LIST, {}, bearer(token)));
  assert.equal(answers.filter(({ errors }) => errors === undefined).length, 2);
});

test('tokens of streams and of callbacks reach those whom they are for, and nobody else', async t => {
  let calls = 0;
  const router = createServer((request, response) => {
    calls++;
    request.resume().once('end', () => response.writeHead(calls === 1 ? 204 : 500).end());
  }).listen(0, '127.0.0.1');
  t.after(() => {
    router.closeAllConnections();
    router.close();
  });
  await once(router, 'listening');
  const place = `127.0.0.1:${(router.address() as AddressInfo).port}`;
  const { tenant, url } = await startGateway(t, {
    log: createCapturedLog(),
    env: { SUBSCRIPTION_CALLBACK_HOSTS: place },
  });
  const id = tenant.addTask({ queueMs: 0, runMs: 86_400_000 });
  const reserved = await (await fetch(`${url}/stream`, { method: 'PUT' })).text();
  const verifier = 'the verifier of this router';
  for (const secret of [reserved, verifier]) secretWatchOf(t).addSecret(secret);
  const post = (target: string, body: object, headers: Record<string, string>) =>
    fetch(target, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    }).then(response => response.text());
  for (const body of [
    { query: '{' },
    { query: LIST },
    { query: LIST, extensions: { operationId: '1' } },
  ])
    await post(`${url}/stream`, body, { 'x-graphql-event-stream-token': reserved });
  const subscription = { callbackUrl: `http://${place}/`, subscriptionId: 's', verifier };
  for (const query of [PROGRESS, '{', LIST])
    await post(
      url,
      { query, variables: { id }, extensions: { subscription } },
      { accept: 'application/json;callbackSpec=1.0' },
    );
  await until(() => calls > 2);
});

test(
  'the password of a Redis that is lost, or that refuses it, is not logged',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const password = 'the-password-of-redis';
    const redis = await startRedis(t, { args: ['--requirepass', password] });
    const log = createCapturedLog();
    const urlOf = (secret: string) => redis.url.replace('//', `//:${secret}@`);
    const { query } = await startGateway(t, { log, env: { REDIS_URL: urlOf(password) } });
    assert.equal((await query(LIST)).errors, undefined);
    const wrong = 'a-wrong-password-of-redis';
    await assert.rejects(
      startGateway(t, { env: { REDIS_URL: urlOf(wrong) } }),
      ({ stack }: Error) => {
        assert.ok(!stack!.includes(wrong));
        return true;
      },
    );
    await redis.kill();
    await until(() => log.lines.some(({ level }) => level !== 'info'));
    await query(LIST);
  },
);
