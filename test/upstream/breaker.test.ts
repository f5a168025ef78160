import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../src/errors.ts';
import { AttemptFailure, type Diagnosis } from '../../src/upstream/admission/attempt-failure.ts';
import { type Breaker, createBreaker } from '../../src/upstream/admission/breaker.ts';
import { HandClock } from '../support/hand-clock.ts';

const failureOf = (health: Diagnosis['health']) =>
  new AttemptFailure('UPSTREAM_UNAVAILABLE', 'x', { health, maxRetries: 3, mayHaveActed: true });

async function attempt(breaker: Breaker, error?: Error): Promise<'sent' | 'refused'> {
  let isSent = false;
  await breaker
    .run(async () => {
      isSent = true;
      if (error) throw error;
    })
    .catch(() => {});
  return isSent ? 'sent' : 'refused';
}

/** Ten attempts a second; `error` makes that of each, undefined where it succeeds. */
async function attemptFor(
  breaker: Breaker,
  clock: HandClock,
  seconds: number,
  error: (place: number) => Error | undefined,
): Promise<void> {
  for (let place = 0; place < 10 * seconds; place++) {
    await attempt(breaker, error(place));
    clock.advance(100);
  }
}

function setUp() {
  const clock = new HandClock();
  return { clock, breaker: createBreaker({ clock, trips: ['failing'] }) };
}

test('a breaker opens when half of the attempts within some seconds fail, and not before', async () => {
  for (const [share, isOpen] of [
    [1, true],
    [0.6, true],
    [0.3, false],
  ] as const) {
    const { clock, breaker } = setUp();
    await attemptFor(breaker, clock, 4, place =>
      place % 10 < share * 10 ? failureOf('failing') : undefined,
    );
    assert.equal(await attempt(breaker), isOpen ? 'refused' : 'sent', `${share}`);
  }
});

test('a breaker stays closed for any number of failures at one moment, and for a few over a long time', async () => {
  const { clock, breaker } = setUp();
  for (let count = 0; count < 500; count++) await attempt(breaker, failureOf('failing'));
  assert.equal(await attempt(breaker), 'sent');
  clock.advance(60_000);
  for (let count = 0; count < 50; count++) {
    await attempt(breaker, failureOf('failing'));
    clock.advance(2_000);
  }
  assert.equal(await attempt(breaker), 'sent');
});

test('errors with an upstream message, timeouts and disconnected callers do not open a breaker', async () => {
  for (const error of [
    failureOf('healthy'),
    failureOf('unreachable'),
    new GatewayError('UPSTREAM_TIMEOUT', 'the deadline of the operation'),
    new DOMException('left', 'AbortError'),
  ]) {
    const { clock, breaker } = setUp();
    await attemptFor(breaker, clock, 20, () => error);
    assert.equal(await attempt(breaker), 'sent');
  }
});

test('an open breaker allows one attempt at a time after five seconds, by the monotonic clock', async () => {
  const { clock, breaker } = setUp();
  await attemptFor(breaker, clock, 2, () => failureOf('failing'));
  assert.equal(await attempt(breaker, failureOf('failing')), 'sent');
  assert.throws(() => breaker.check(), {
    code: 'UPSTREAM_UNAVAILABLE',
    extensions: { code: 'UPSTREAM_UNAVAILABLE', retryAfterSeconds: 5 },
  });
  clock.now = () => 0;
  clock.advance(5_000);

  // One whose caller leaves has found nothing out; the next may try.
  let leave: (reason: unknown) => void = () => {};
  const left = breaker.run(() => new Promise((_, reject) => (leave = reject)));
  assert.equal(await attempt(breaker), 'refused');
  leave(new Error('left'));
  await assert.rejects(left, /left/);

  let fail: (reason: unknown) => void = () => {};
  const failing = breaker.run(() => new Promise((_, reject) => (fail = reject)));
  assert.equal(await attempt(breaker), 'refused');
  fail(failureOf('failing'));
  await assert.rejects(failing);
  assert.equal(await attempt(breaker), 'refused');
  clock.advance(4_999);
  assert.equal(await attempt(breaker), 'refused');
  clock.advance(1);

  assert.equal(await attempt(breaker), 'sent');
  assert.equal(await attempt(breaker), 'sent');
});

test('failures of one credential stop only its own requests; network failures stop those of all', async () => {
  const clock = new HandClock();
  const network = createBreaker({ clock, trips: ['unreachable'] });
  const [one, other] = [0, 1].map(() =>
    createBreaker({ clock, trips: ['failing'], within: network }),
  );
  await attemptFor(one!, clock, 4, () => failureOf('failing'));
  assert.deepEqual([await attempt(one!), await attempt(other!)], ['refused', 'sent']);
  clock.advance(5_000);
  assert.equal(await attempt(one!), 'sent');

  clock.advance(60_000);
  await attemptFor(one!, clock, 4, () => failureOf('unreachable'));
  assert.deepEqual([await attempt(one!), await attempt(other!)], ['refused', 'refused']);
  clock.advance(5_000);
  assert.equal(await attempt(other!), 'sent');
  assert.equal(await attempt(one!), 'sent');
});
