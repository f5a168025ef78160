import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { GatewayError } from '../../src/errors.ts';
import { createLog } from '../../src/log.ts';
import {
  type AggregationMessage,
  type AggregationSource,
  createAggregationPoller,
} from '../../src/progress/aggregation-poller.ts';
import { readAggregation } from '../../src/upstream/aggregation-reader.ts';
import { HandClock } from '../support/hand-clock.ts';

const INTERVAL_MS = 1_000;
const read = (processedAccounts: number) =>
  readAggregation({ status: 'ACCOUNTS_COLLECTED', totalAccounts: 1_000, processedAccounts });

/** A poller that holds the lease for these ids, over an upstream that answers at once. */
function setUp(count: number, answer: AggregationSource['poll'] = async () => read(1)) {
  const clock = new HandClock();
  const ids = Array.from({ length: count }, (_, place) => `id ${place}`);
  const state = {
    clock,
    ids: new Set(ids),
    pressure: 0,
    isHeld: true,
    /** The ids polled, in order, with the moment. */
    polled: [] as { id: string; at: number }[],
    mostAtOnce: 0,
    published: [] as AggregationMessage[],
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += 100) {
        clock.advance(100);
        await setImmediate();
        await setImmediate();
      }
    },
  };
  let atOnce = 0;
  const poller = createAggregationPoller({
    source: {
      async poll(id, signal, usage) {
        state.polled.push({ id, at: clock.monotonic() });
        state.mostAtOnce = Math.max(state.mostAtOnce, ++atOnce);
        return answer(id, signal, usage).finally(() => atOnce--);
      },
      pressure: () => state.pressure,
    },
    lease: () => ({ isHeld: state.isHeld, close() {} }),
    watchedIds: async () => state.ids,
    publish: message => state.published.push(message),
    clock,
    log: createLog('silent'),
    intervalMs: INTERVAL_MS,
  });
  poller.onSubscribed(ids);
  return { state, poller };
}

test('with budget to spare, every aggregation is polled in each interval while it changes, ten at once at the most', async () => {
  let count = 0;
  const { state } = setUp(35, async () => read(++count));
  await state.pass(5 * INTERVAL_MS);
  assert.equal(state.mostAtOnce, 10);
  for (const id of state.ids) {
    const polls = state.polled.filter(poll => poll.id === id).length;
    assert.ok(polls >= 4 && polls <= 5, `${polls} polls of ${id}`);
  }
  assert.equal(state.published.length, state.polled.length);
});

test('with a scarce budget, one aggregation is polled in each interval, and each has its turn', async () => {
  const { state } = setUp(20);
  state.pressure = 0.8;
  await state.pass(60 * INTERVAL_MS);
  assert.equal(state.mostAtOnce, 1);
  assert.ok(state.polled.length <= 61 && state.polled.length >= 40, `${state.polled.length} polls`);
  assert.deepEqual(
    new Set(state.polled.slice(0, 20).map(({ id }) => id)),
    state.ids,
    'none is polled twice before another',
  );
});

test('an aggregation that does not change is published once, and again when a subscriber joins that does not know it', async () => {
  const { state, poller } = setUp(1);
  await state.pass(20 * INTERVAL_MS);
  assert.equal(state.published.length, 1);
  assert.ok(state.polled.length < 18, 'and is polled less and less often');
  poller.onSubscribed(['id 0']);
  await state.pass(6 * INTERVAL_MS);
  assert.equal(state.published.length, 2);
});

test('a read that hangs holds up no other aggregation', async () => {
  const hanging = new Promise<never>(() => {});
  const { state } = setUp(12, async id => (id === 'id 0' ? hanging : read(1)));
  await state.pass(8 * INTERVAL_MS);
  for (const id of state.ids)
    assert.ok(state.polled.filter(poll => poll.id === id).length >= (id === 'id 0' ? 1 : 3), id);
});

test('failures are published once they have lasted for a minute, and FORBIDDEN at once and asked again after a minute', async () => {
  for (const [code, fromMs] of [
    ['UPSTREAM_UNAVAILABLE', 60_000],
    ['FORBIDDEN', 0],
  ] as const) {
    const { state } = setUp(1, async () => {
      throw new GatewayError(code, 'No.');
    });
    await state.pass(fromMs);
    assert.equal(state.published.length, 0, code);
    await state.pass(10 * INTERVAL_MS);
    assert.equal(state.published.length, 1, code);
    const [message] = state.published;
    assert.ok(message?.kind === 'read' && 'failure' in message.reading);
    assert.equal(message.reading.failure.code, code);
    if (code === 'FORBIDDEN') {
      await state.pass(50 * INTERVAL_MS);
      assert.equal(state.polled.length, 1);
      await state.pass(10 * INTERVAL_MS);
      assert.equal(state.polled.length, 2);
    }
  }
});

test('without the lease or a watch nothing is polled or published, reads under way are aborted, and no timer is left', async () => {
  for (const lose of ['lease', 'watch'] as const) {
    let signal: AbortSignal | undefined;
    let answer: ((aggregation: ReturnType<typeof read>) => void) | undefined;
    const { state } = setUp(1, async (_, given) => {
      signal = given;
      return new Promise(resolve => (answer = resolve));
    });
    await state.pass(2 * INTERVAL_MS);
    assert.equal(state.polled.length, 1);
    if (lose === 'lease') state.isHeld = false;
    else state.ids.clear();
    await state.pass(10 * INTERVAL_MS);
    assert.equal(signal?.aborted, true, lose);
    answer?.(read(5));
    await state.pass(10 * INTERVAL_MS);
    assert.deepEqual([state.polled.length, state.published.length], [1, 0], lose);
    assert.equal(state.clock.waiting, 0, lose);
  }
});
