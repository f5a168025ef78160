import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '../../src/config.ts';
import { startGateway as startPlain } from '../../src/gateway.ts';
import type { Readiness } from '../../src/readiness.ts';
import { createCapturedLog } from '../support/captured-log.ts';
import { startHostileUpstream, startGatewayOver } from '../support/hostile-upstream.ts';
import { WITHOUT_OWN_REDIS, startRedis } from '../support/redis.ts';
import { type StartOptions, startGateway, startSandbox } from '../support/start.ts';
import { until } from '../support/until.ts';

interface Answer extends Readiness {
  code: number;
  text: string;
}

async function readinessOf(url: string): Promise<Answer> {
  const response = await fetch(new URL('/health/ready', url));
  const text = await response.text();
  return { code: response.status, text, ...(JSON.parse(text) as Readiness) };
}

/**
 * Asks as a probe does, again and again, until the answer is as it should be. Gives the seconds
 * that took.
 */
async function secondsUntil(url: string, isReached: (answer: Answer) => boolean) {
  const startedAt = performance.now();
  let answer = await readinessOf(url);
  while (!isReached(answer)) answer = await readinessOf(url);
  return { seconds: (performance.now() - startedAt) / 1000, answer };
}

async function start(t: Parameters<typeof startGateway>[0], options: StartOptions = {}) {
  const log = createCapturedLog();
  const gateway = await startGateway(t, { ...options, log });
  const logged = (pattern: RegExp) => log.lines.some(({ message }) => pattern.test(message));
  return { ...gateway, log, logged };
}

test('a gateway that has just started is ready once upstream has answered a probe, which costs one request', async t => {
  const { url, requests, sandbox } = await start(t);
  const answers = await Promise.all(Array.from({ length: 50 }, () => readinessOf(url)));
  for (const { code, status, parts } of answers) {
    assert.deepEqual([code, status], [200, 'ready']);
    assert.deepEqual(parts, {
      token: { status: 'ok' },
      upstream: { status: 'ok' },
    });
  }
  assert.deepEqual(requests(), ['GET /task-status/v1?limit=1']);
  assert.equal(sandbox.journal.requests.length, 1);
});

test('readiness sends upstream nothing while upstream answers others', async t => {
  const { url, query, requests } = await start(t);
  await query('{ taskStatuses { nodes { id } } }');
  const { code } = await readinessOf(url);
  assert.equal(code, 200);
  assert.equal(requests().length, 1);
});

test('a gateway that shuts down is draining, and asks upstream nothing more', async t => {
  const { url, gateway, requests } = await start(t, { env: { SHUTDOWN_DELAY_MS: '2000' } });
  const closed = gateway.close();
  const { code, status } = await readinessOf(url);
  assert.deepEqual([code, status], [503, 'draining']);
  assert.deepEqual(requests(), []);
  await closed;
});

test('liveness asks nobody', async t => {
  const upstream = await startHostileUpstream(t);
  upstream.respond = () => {};
  const { url } = await startGatewayOver(t, upstream.url);
  assert.equal((await fetch(new URL('/health/live', url))).status, 200);
  assert.equal(upstream.requests.length, 0);
});

test('a dead upstream shows in readiness and in the log within five seconds, and so does its return', async t => {
  const sandbox = await startSandbox(t);
  const { url, log, logged } = await start(t, { over: sandbox });
  assert.equal((await readinessOf(url)).code, 200);
  sandbox.faults.order({ fault: { kind: 'drop' } });
  const { seconds, answer } = await secondsUntil(url, ({ code }) => code === 503);
  assert.ok(seconds < 5, `${seconds} s`);
  assert.deepEqual(answer.parts.upstream.status, 'failed');
  assert.match(answer.parts.upstream.reason ?? '', /connection was (reset|closed)/);
  assert.deepEqual(answer.parts.token, { status: 'ok' });
  assert.ok(logged(/^an attempt at upstream failed$/) && logged(/^not ready$/));

  sandbox.faults.clear();
  const back = await secondsUntil(url, ({ code }) => code === 200);
  assert.ok(back.seconds < 5, `${back.seconds} s`);
  assert.deepEqual(log.lines.at(-1)?.message, 'ready');
});

test('an upstream that accepts connections and answers nothing is not ready, and a probe is answered within a second or so', async t => {
  const upstream = await startHostileUpstream(t);
  upstream.respond = () => {};
  const { url } = await startGatewayOver(t, upstream.url);
  const startedAt = performance.now();
  // The token endpoint answers, which is an answer of upstream for three seconds.
  const { seconds, answer } = await secondsUntil(url, ({ code }) => code === 503);
  assert.ok(seconds < 5 && performance.now() - startedAt < 5_000);
  assert.match(answer.parts.upstream.reason ?? '', /has not answered for \d s/);
});

test('a wrong secret shows in readiness and in the log, without the secret', async t => {
  const { url, sandbox, logged } = await start(t, {
    env: { SAIL_CLIENT_SECRET: 'no-such-secret' },
  });
  const { seconds, answer } = await secondsUntil(url, ({ code }) => code === 503);
  assert.ok(seconds < 5);
  assert.equal(answer.parts.token?.status, 'failed');
  assert.match(answer.parts.token?.reason ?? '', /own credentials.*status 40[01]/);
  assert.notEqual(answer.parts.upstream.status, 'failed');
  assert.ok(!answer.text.includes('no-such-secret') && !answer.text.includes(sandbox.url));
  assert.ok(logged(/refuses the client credentials/) && logged(/^not ready$/));
});

test('with callers who bring their own tokens, the refusal of a probe is an answer', async t => {
  const { url } = await start(t, { env: { AUTH_MODE: 'passthrough' } });
  const { code, parts } = await readinessOf(url);
  assert.deepEqual([code, parts.token, parts.upstream], [200, undefined, { status: 'ok' }]);
});

test('an upstream whose host cannot be reached is named neither by host nor by address', async t => {
  const { url } = await startGatewayOver(t, 'http://127.0.0.1:1');
  const { answer } = await secondsUntil(url, ({ code }) => code === 503);
  assert.match(answer.text, /the connection was refused/);
  assert.ok(!answer.text.includes('127.0.0.1'));
});

test('a firewall that answers in place of upstream is not upstream', async t => {
  const upstream = await startHostileUpstream(t);
  upstream.respond = response => response.writeHead(403).end('<html>blocked</html>');
  const { url, query } = await startGatewayOver(t, upstream.url);
  await query('{ taskStatuses { nodes { id } } }');
  const { answer } = await secondsUntil(url, ({ code }) => code === 503);
  assert.match(answer.parts.upstream.reason ?? '', /proxy or firewall/);
});

test(
  'a lost Redis shows within five seconds; the gateway stays ready without it, unless it requires it',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    const sandbox = await startSandbox(t);
    const env = { REDIS_URL: redis.url };
    const tolerant = await start(t, { over: sandbox, env });
    const strict = await start(t, { over: sandbox, env: { ...env, REDIS_STARTUP: 'require' } });
    for (const { url } of [tolerant, strict])
      assert.deepEqual((await readinessOf(url)).parts.redis, { status: 'ok' });

    await redis.kill();
    const [one, other] = await Promise.all([
      secondsUntil(tolerant.url, ({ parts }) => parts.redis?.status === 'degraded'),
      secondsUntil(strict.url, ({ code }) => code === 503),
    ]);
    assert.ok(one.seconds < 5 && other.seconds < 5);
    assert.equal(one.answer.code, 200);
    assert.equal(other.answer.parts.redis?.status, 'failed');
    for (const { answer } of [one, other]) {
      assert.match(answer.parts.redis?.reason ?? '', /./);
      assert.ok(!answer.text.includes('127.0.0.1'), answer.text);
    }
    assert.ok(tolerant.logged(/^Redis is disconnected/) && strict.logged(/^not ready$/));

    await redis.start();
    await secondsUntil(strict.url, ({ code }) => code === 200);
    await until(() => tolerant.logged(/^Redis is back/));
  },
);

test('readiness says that the tenant is the sandbox', async t => {
  const sandbox = await startSandbox(t);
  const config = readConfig({ PORT: '0', LOG_LEVEL: 'silent' });
  const gateway = await startPlain({
    ...config,
    baseUrl: new URL(sandbox.url),
    client: sandbox.client,
    isSandbox: true,
  });
  t.after(() => gateway.close());
  const { notes } = await readinessOf(gateway.url);
  assert.match(notes.join(), /embedded sandbox: its tasks are invented/);
});
