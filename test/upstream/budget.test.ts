import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import type { Slot } from '../../src/fleet/fleet.ts';
import { LocalWindow } from '../../src/fleet/local.ts';
import { createBudget } from '../../src/upstream/admission/budget.ts';
import type { Lane } from '../../src/upstream/admission/lanes.ts';
import { HandClock } from '../support/hand-clock.ts';

const LIMITS = { limit: 10, windowMs: 1_000 };

function setUp(limits = LIMITS) {
  const clock = new HandClock();
  return { clock, budget: createBudget(new LocalWindow(limits, clock), limits, clock) };
}

/** Lets time pass in small steps, with what follows from each step done before the next. */
async function pass(clock: HandClock, ms: number, stepMs = 5): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    clock.advance(stepMs);
    await setImmediate();
  }
}

test('no window ever holds more than the limit, wherever between its start and its answer a request is counted', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          afterMs: fc.integer({ min: 0, max: 120 }),
          upMs: fc.integer({ min: 0, max: 300 }),
          downMs: fc.integer({ min: 0, max: 300 }),
        }),
        { minLength: 30, maxLength: 60 },
      ),
      async wishes => {
        const { clock, budget } = setUp();
        const countedAt: number[] = [];
        let open = wishes.length;
        for (const { afterMs, upMs, downMs } of wishes) {
          void budget.acquire({ lane: 'interactive', patienceMs: 1e9 }).then(slot => {
            clock.after(upMs, () => countedAt.push(clock.monotonic()));
            clock.after(upMs + downMs, () => {
              slot.settle();
              open--;
            });
          });
          await pass(clock, afterMs);
        }
        while (open > 0) await pass(clock, 100);

        countedAt.sort((a, b) => a - b);
        for (const [place, at] of countedAt.entries()) {
          const inWindow = countedAt
            .slice(0, place + 1)
            .filter(earlier => earlier > at - LIMITS.windowMs);
          assert.ok(inWindow.length <= LIMITS.limit, `${inWindow.length} in a window`);
        }
      },
    ),
    { numRuns: 40 },
  );
});

test('a crowd is served evenly once the burst is spent, at the rate upstream allows', async () => {
  const { clock, budget } = setUp({ limit: 100, windowMs: 10_000 });
  const servedAt: number[] = [];
  for (let count = 0; count < 300; count++)
    void budget.acquire({ lane: 'interactive', patienceMs: 1e9 }).then(slot => {
      slot.settle();
      servedAt.push(clock.monotonic());
    });
  await pass(clock, 40_000, 10);

  assert.equal(servedAt.length, 300);
  const gaps = servedAt.slice(1).map((at, place) => at - (servedAt[place] ?? 0));
  assert.ok(Math.max(...gaps) <= 250, `the longest silence was ${Math.max(...gaps)} ms`);
  assert.ok((servedAt.at(-1) ?? 0) < 31_000, `the last was served at ${servedAt.at(-1)} ms`);
});

test('who waits for an answer goes before a look, and looks go on all the same', async () => {
  const { clock, budget } = setUp();
  const served: Lane[] = [];
  const wish = (lane: Lane) =>
    void budget.acquire({ lane, patienceMs: 1e9 }).then(slot => {
      slot.settle();
      served.push(lane);
    });
  for (let count = 0; count < LIMITS.limit; count++) wish('interactive');
  while (served.length < LIMITS.limit) await pass(clock, 10);
  served.length = 0;
  for (let count = 0; count < 5; count++) wish('task-poll');
  for (let count = 0; count < 40; count++) wish('interactive');
  await pass(clock, 10_000, 10);

  assert.equal(served.length, 45);
  const looks = served.flatMap((lane, place) => (lane === 'task-poll' ? [place] : []));
  assert.ok((looks[0] ?? 0) >= 5, 'the first look waited for readers');
  assert.ok((looks[0] ?? 99) < 20, 'the first look did not wait for all of them');
});

test('a wish whose caller has gone is dropped and costs nothing', async () => {
  const { clock, budget } = setUp({ limit: 1, windowMs: 1_000 });
  const first = await budget.acquire({ lane: 'interactive', patienceMs: 1e9 });
  const controller = new AbortController();
  const gone = budget.acquire({ lane: 'interactive', patienceMs: 1e9, signal: controller.signal });
  let served = false;
  void budget.acquire({ lane: 'interactive', patienceMs: 1e9 }).then(() => (served = true));
  controller.abort(new Error('gone'));
  await assert.rejects(gone, /gone/);
  first.settle();
  await pass(clock, 1_000, 10);

  assert.ok(served, 'the place of the one who left went to the next');
});

test('a wish that cannot be served in time fails at once, and says when to come back', async () => {
  const { budget } = setUp({ limit: 1, windowMs: 10_000 });
  await budget.acquire({ lane: 'interactive', patienceMs: 1_000 });
  await assert.rejects(budget.acquire({ lane: 'interactive', patienceMs: 1_000 }), {
    code: 'RATE_LIMITED',
    extensions: { code: 'RATE_LIMITED', retryAfterSeconds: 10 },
  });
});

test('a pause holds everybody, and what waits is served after it', async () => {
  const { clock, budget } = setUp();
  budget.pause(5_000);
  let servedAt: number | null = null;
  void budget
    .acquire({ lane: 'interactive', patienceMs: 1e9 })
    .then(() => (servedAt = clock.monotonic()));
  await setImmediate();
  await pass(clock, 4_990, 10);
  assert.equal(servedAt, null);
  await pass(clock, 20, 10);
  assert.equal(servedAt, 5_000);
});

test('a slot that was not used is free again at once', async () => {
  const { budget } = setUp({ limit: 1, windowMs: 1_000 });
  const wish = { lane: 'interactive', patienceMs: 0 } as const;
  const slot: Slot = await budget.acquire(wish);
  slot.cancel();
  slot.settle();
  (await budget.acquire(wish)).settle();
});
