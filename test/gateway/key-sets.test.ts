import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import { WebSocket } from 'ws';
import { type CapturedLog, createCapturedLog } from '../support/captured-log.ts';
import { HandClock } from '../support/hand-clock.ts';
import { type Issuer, startIssuer } from '../support/issuer.ts';
import { startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const LIST = '{ taskStatuses(first: 1) { nodes { id } } }';
const SDL = '{ _service { sdl } }';

/** The log message for each failure of the key set. */
const FAULTS: Record<string, [(response: ServerResponse) => void, RegExp]> = {
  'with status 503': [response => response.writeHead(503).end(), /status is 503/],
  'with a redirect': [
    response => response.writeHead(302, { location: 'http://127.0.0.1/' }).end(),
    /status is 302/,
  ],
  'by closing the connection': [response => response.destroy(), /connection was closed/],
};

async function startWithIssuer(
  t: TestContext,
  issuer: Issuer,
  env: Record<string, string> = {},
  clock?: HandClock,
) {
  const log = createCapturedLog();
  const gateway = await startGateway(t, {
    log,
    env: {
      JWKS_URL: issuer.jwksUrl,
      JWT_ISSUER: issuer.issuer,
      JWT_AUDIENCE: 'gateway',
      ...env,
    },
    ...(clock ? { clock } : {}),
  });
  const codeFor = async (token: string) => {
    const { errors } = await gateway.query(LIST, {}, { authorization: `Bearer ${token}` });
    return errors?.[0]?.extensions['code'] ?? 'ok';
  };
  return { ...gateway, log, codeFor };
}

const failuresIn = (log: CapturedLog, variable: string) =>
  log.lines.filter(
    line =>
      line.message === 'the keys of an issuer cannot be fetched' && line['variable'] === variable,
  );

for (const [how, [fault, cause]] of Object.entries(FAULTS))
  test(`a key set that answers ${how} is UPSTREAM_UNAVAILABLE for the caller, with its cause in the log`, async t => {
    const issuer = await startIssuer(t);
    issuer.fault = fault;
    const { codeFor, log } = await startWithIssuer(t, issuer);
    assert.equal(await codeFor(await issuer.sign()), 'UPSTREAM_UNAVAILABLE');
    const [line, ...others] = failuresIn(log, 'JWKS_URL');
    assert.match(String(line?.['cause']), cause);
    assert.equal(others.length, 0);
    assert.equal(await codeFor(await issuer.sign()), 'UPSTREAM_UNAVAILABLE');
    assert.equal(issuer.requests, 1, 'a fetch that failed is not repeated for each token');
  });

test('a key set on a closed port is UPSTREAM_UNAVAILABLE', async t => {
  const issuer = await startIssuer(t);
  issuer.close();
  const { codeFor, log } = await startWithIssuer(t, issuer);
  assert.equal(await codeFor(await issuer.sign()), 'UPSTREAM_UNAVAILABLE');
  assert.match(String(failuresIn(log, 'JWKS_URL')[0]?.['cause']), /connection was refused/);
});

test('a known key still verifies tokens while the key set cannot be fetched', async t => {
  const clock = new HandClock(Date.now());
  const issuer = await startIssuer(t);
  const { codeFor, log } = await startWithIssuer(t, issuer, {}, clock);
  const token = await issuer.sign({ expiresInSeconds: 36_000 });
  assert.equal(await codeFor(token), 'ok');
  issuer.fault = response => response.writeHead(500).end();
  for (let hours = 1; hours <= 3; hours++) {
    clock.advance(3_600_000);
    assert.equal(await codeFor(token), 'ok');
    await until(() => failuresIn(log, 'JWKS_URL').length === hours);
  }
  issuer.fault = null;
  clock.advance(3_600_000);
  const before = issuer.requests;
  assert.equal(await codeFor(token), 'ok');
  await until(() => issuer.requests === before + 1);
  assert.equal(await codeFor(await issuer.sign({ audience: 'another' })), 'UNAUTHENTICATED');
});

test('clocks may differ by five seconds, or by JWT_CLOCK_TOLERANCE_SECONDS', async t => {
  const issuer = await startIssuer(t);
  const lenient = await startWithIssuer(t, issuer);
  const strict = await startWithIssuer(t, issuer, { JWT_CLOCK_TOLERANCE_SECONDS: '0' });
  for (const times of [{ expiresInSeconds: -3 }, { notBeforeInSeconds: 3 }]) {
    assert.equal(await lenient.codeFor(await issuer.sign(times)), 'ok');
    assert.equal(await strict.codeFor(await issuer.sign(times)), 'UNAUTHENTICATED');
  }
  assert.equal(
    await lenient.codeFor(await issuer.sign({ expiresInSeconds: -10 })),
    'UNAUTHENTICATED',
  );
});

test('of several keys, each verifies a token that does not name its key', async t => {
  const issuer = await startIssuer(t, 3);
  const stranger = await startIssuer(t);
  const { codeFor } = await startWithIssuer(t, issuer);
  for (const key of [0, 1, 2]) {
    assert.equal(await codeFor(await issuer.sign({ key, kid: null })), 'ok');
    assert.equal(await codeFor(await issuer.sign({ key })), 'ok');
  }
  assert.equal(await codeFor(await stranger.sign({ kid: null })), 'UNAUTHENTICATED');
  assert.equal(await codeFor(await issuer.sign({ kid: null, audience: 'x' })), 'UNAUTHENTICATED');
  assert.equal(await codeFor(await issuer.sign({ kid: 'unknown' })), 'UNAUTHENTICATED');
});

test("if the router's keys cannot be fetched, the router gets that error rather than FORBIDDEN", async t => {
  const issuer = await startIssuer(t);
  issuer.fault = response => response.writeHead(503).end();
  const log = createCapturedLog();
  const env = {
    ROUTER_JWKS_URL: issuer.jwksUrl,
    ROUTER_JWT_ISSUER: issuer.issuer,
    ROUTER_JWT_AUDIENCE: 'gateway',
    INTROSPECTION: 'false',
  };
  const headers = { 'router-authorization': `Bearer ${await issuer.sign()}` };

  const open = await startGateway(t, { log, env });
  assert.equal((await open.query(LIST, {}, headers)).errors, undefined);
  const [error] = (await open.query(SDL, {}, headers)).errors ?? [];
  assert.equal(error?.extensions['code'], 'UPSTREAM_UNAVAILABLE');
  assert.equal((await open.query(SDL)).errors?.[0]?.extensions['code'], 'FORBIDDEN');
  assert.match(String(failuresIn(log, 'ROUTER_JWKS_URL')[0]?.['cause']), /status is 503/);

  const closed = await startGateway(t, { env: { ...env, DIRECT_TRAFFIC: 'refuse' } });
  const refused = await closed.query(LIST, {}, headers);
  assert.deepEqual(
    [refused.status, refused.errors?.[0]?.extensions['code']],
    [503, 'UPSTREAM_UNAVAILABLE'],
  );
  const socket = new WebSocket(closed.url.replace('http', 'ws'), 'graphql-transport-ws');
  await once(socket, 'open');
  socket.send(JSON.stringify({ type: 'connection_init', payload: headers }));
  assert.equal((await once(socket, 'close'))[0], 1013);
});
