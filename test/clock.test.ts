import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../src/clock.ts';

const HOUR_MS = 3_600_000;

test('a delay longer than a timer allows runs when it is over, and not before', t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let ran = 0;
  systemClock.after(90 * 24 * HOUR_MS, () => ran++);
  const cancel = systemClock.after(60 * 24 * HOUR_MS, () => assert.fail('it was cancelled'));
  for (let hours = 1; hours < 90 * 24; hours++) {
    t.mock.timers.tick(HOUR_MS);
    if (hours === 40 * 24) cancel();
    assert.equal(ran, 0, `after ${hours} hours`);
  }
  // A mocked timer that is set while the clock moves counts from where the clock stops.
  t.mock.timers.tick(5 * HOUR_MS);
  assert.equal(ran, 1);
  t.mock.timers.tick(90 * 24 * HOUR_MS);
  assert.equal(ran, 1);
});
