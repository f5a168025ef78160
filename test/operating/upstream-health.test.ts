import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { type TestContext, test } from 'node:test';
import type { Readiness } from '../../src/readiness.ts';
import { HandClock } from '../support/hand-clock.ts';
import { sendJson, startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { until } from '../support/until.ts';

// How long an answer is recent, and how long a probe of the gateway is waited for.
const RECENT_MS = 3_000;
const WAIT_MS = 900;

async function start(t: TestContext) {
  const clock = new HandClock();
  const upstream = await startHostileUpstream(t);
  const { url, log, query } = await startGatewayOver(t, upstream.url, {}, clock);
  /** Holds the answers of upstream from now on. */
  const hold = () => {
    const held: ServerResponse[] = [];
    upstream.respond = response => void held.push(response);
    return held;
  };
  const ask = async () => {
    const response = await fetch(new URL('/health/ready', url));
    return { code: response.status, ...((await response.json()) as Readiness) };
  };
  /** Asks, and answers after upstream has not answered the probe for so long. */
  const askWhileSilent = async () => {
    const sent = upstream.requests.length;
    const answer = ask();
    await until(() => upstream.requests.length > sent);
    clock.advance(WAIT_MS);
    return answer;
  };
  return { clock, upstream, log, query, hold, ask, askWhileSilent };
}

for (const { status, reason } of [
  { status: 401, reason: /does not accept the gateway's token.*401/ },
  { status: 403, reason: /may not read tasks.*403/ },
  { status: 400, reason: /refuses to list tasks.*400/ },
  { status: 404, reason: /404/ },
])
  test(`a gateway whose own requests are answered ${status} is not ready, and says why`, async t => {
    const { clock, upstream, log, ask } = await start(t);
    upstream.respond = response =>
      sendJson(response, status, { detailCode: `${status}`, messages: [{ text: 'No.' }] });

    const refused = await ask();

    assert.deepEqual([refused.code, refused.parts.upstream.status], [503, 'failed']);
    assert.match(refused.parts.upstream.reason ?? '', reason);
    assert.ok(log.lines.some(({ message }) => message === 'not ready'));

    // A token may have been revoked, so the first probe tries a new one. After that, each costs one
    // request.
    const sent = upstream.requests.length;
    for (let interval = 1; interval <= 3; interval++) {
      clock.advance(RECENT_MS);
      assert.equal((await ask()).code, 503);
      assert.equal(upstream.requests.length, sent + interval);
    }

    upstream.respond = response => sendJson(response, 200, []);
    clock.advance(RECENT_MS);
    assert.equal((await ask()).code, 200);
  });

test('a gateway that has got a token, but no answer about tasks, is not ready', async t => {
  const { hold, askWhileSilent } = await start(t);
  hold();
  const { code, parts } = await askWhileSilent();
  assert.deepEqual([code, parts.token?.status, parts.upstream.status], [503, 'ok', 'failed']);
});

test('while upstream makes the gateway wait, it stays ready', async t => {
  const { clock, upstream, log, ask } = await start(t);
  assert.equal((await ask()).code, 200);
  clock.advance(RECENT_MS + 1);
  upstream.respond = response =>
    response.writeHead(429, { 'retry-after': '60', 'content-type': 'application/json' }).end('{}');
  const limited = ask();
  await until(() => log.lines.some(({ message }) => message.startsWith('the budget is paused')));
  clock.advance(WAIT_MS);
  assert.equal((await limited).code, 200);

  for (let asked = 0; asked < 5; asked++) {
    clock.advance(RECENT_MS + 1);
    const answer = ask();
    await until(() => clock.nextInMs <= WAIT_MS);
    clock.advance(WAIT_MS);
    const { code, parts } = await answer;
    assert.equal(code, 200);
    assert.match(
      parts.upstream.reason ?? '',
      /^not asked, because the request budget is paused for another \d+ s$/,
    );
  }
  assert.equal(upstream.requests.length, 2);
});

test('while upstream makes the gateway wait for a token, readiness says for how long', async t => {
  const { clock, upstream, log, ask } = await start(t);
  upstream.respondToken = response =>
    response.writeHead(429, { 'retry-after': '20', 'content-type': 'application/json' }).end('{}');
  const answer = ask();
  await until(() => log.lines.some(({ message }) => message.startsWith('the budget is paused')));
  clock.advance(WAIT_MS);
  const { code, parts } = await answer;
  assert.equal(code, 503);
  assert.equal(
    parts.token?.reason,
    'upstream has not granted a token yet: the request budget is paused for another 20 s',
  );
});

test('readiness says for how long upstream has not answered a request for a token', async t => {
  const { clock, upstream, ask } = await start(t);
  const asked = new Promise<void>(resolve => (upstream.respondToken = () => resolve()));
  const first = ask();
  await asked;
  clock.advance(WAIT_MS);
  assert.equal((await first).code, 503);
  const second = ask();
  await until(() => clock.nextInMs <= WAIT_MS);
  clock.advance(WAIT_MS);
  const { code, parts } = await second;
  assert.equal(code, 503);
  assert.equal(parts.token?.reason, 'upstream has not answered a request for a token for 2 s');
});

test('a token that upstream revokes, and the new one with it, is in the log', async t => {
  const { upstream, log, query } = await start(t);
  upstream.respond = response => sendJson(response, 401, { error: 'revoked' });
  await query('{ taskStatuses { nodes { id } } }');
  const line = log.lines.find(({ message }) => message === 'an attempt at upstream failed');
  assert.equal(line?.level, 'warn');
  assert.match(String(line?.['cause']), /does not accept the gateway's token, nor the new/);
});

test('an upstream that is always slow is ready, and one that falls silent is not', async t => {
  const { clock, hold, ask, askWhileSilent } = await start(t);
  const held = hold();
  for (let probe = 0; probe < 3; probe++) {
    const { code } = await askWhileSilent();
    assert.equal(code, probe === 0 ? 503 : 200);
    clock.advance(300);
    sendJson(held.shift()!, 200, []);
    await until(async () => (await ask()).parts.upstream.reason === undefined);
    clock.advance(RECENT_MS + 1);
  }
  assert.equal((await askWhileSilent()).code, 200);
  clock.advance(2_000);
  const { code, parts } = await ask();
  assert.equal(code, 503);
  assert.match(parts.upstream.reason ?? '', /has not answered for 3 s/);
});
