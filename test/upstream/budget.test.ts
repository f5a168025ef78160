import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import type { Slot } from '../../src/fleet/fleet.ts';
import { LocalWindow } from '../../src/fleet/local.ts';
import { GatewayError } from '../../src/errors.ts';
import {
  type Budget,
  type SlotRequest,
  createBudget,
} from '../../src/upstream/admission/budget.ts';
import { LANES, type Lane } from '../../src/upstream/admission/lanes.ts';
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

test('no window holds more than the limit, whenever upstream counts a request between its start and its answer', async () => {
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
      async requests => {
        const { clock, budget } = setUp();
        const countedAt: number[] = [];
        let open = requests.length;
        for (const { afterMs, upMs, downMs } of requests) {
          void budget.acquire({ lane: 'interactive', maxWaitMs: 1e9 }).then(slot => {
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

test('many waiting requests are served evenly after the burst, at the rate upstream allows', async () => {
  const { clock, budget } = setUp({ limit: 100, windowMs: 10_000 });
  const servedAt: number[] = [];
  for (let count = 0; count < 300; count++)
    void budget.acquire({ lane: 'interactive', maxWaitMs: 1e9 }).then(slot => {
      slot.settle();
      servedAt.push(clock.monotonic());
    });
  await pass(clock, 40_000, 10);

  assert.equal(servedAt.length, 300);
  const gaps = servedAt.slice(1).map((at, place) => at - (servedAt[place] ?? 0));
  assert.ok(Math.max(...gaps) <= 250, `the longest silence was ${Math.max(...gaps)} ms`);
  assert.ok((servedAt.at(-1) ?? 0) < 31_000, `the last was served at ${servedAt.at(-1)} ms`);
});

/** Spends the burst, so that from here on slots come one by one. */
async function spendBurst(budget: Budget, clock: HandClock, count: number): Promise<void> {
  let served = 0;
  for (let place = 0; place < count; place++)
    void budget.acquire({ lane: 'interactive', maxWaitMs: 1e9 }).then(slot => {
      slot.settle();
      served++;
    });
  while (served < count) await pass(clock, 10);
}

test('slots that all lanes wait for are divided: of ten, readers get eight, polls of tasks and of lists one each', async () => {
  const { clock, budget } = setUp();
  await spendBurst(budget, clock, LIMITS.limit);
  const served: Lane[] = [];
  const note = (lane: Lane) => (slot: Slot) => {
    slot.settle();
    served.push(lane);
  };
  for (let count = 0; count < 200; count++) {
    void budget.acquire({ lane: 'interactive', maxWaitMs: 1e9 }).then(note('interactive'));
    for (const lane of ['task-poll', 'list-poll'] as const)
      void budget.acquire({ lane }).then(note(lane));
  }
  await pass(clock, 10_000, 10);

  for (let start = 0; start + 10 <= served.length; start += 10) {
    const ten = served.slice(start, start + 10);
    const of = (lane: Lane) => ten.filter(other => other === lane).length;
    assert.deepEqual([of('interactive'), of('task-poll'), of('list-poll')], [8, 1, 1]);
  }
  assert.ok(served.length >= 90);
});

test('an operation that selects many account aggregations gets one slot of ten beside other reads and polls', async () => {
  const { clock, budget } = setUp();
  await spendBurst(budget, clock, LIMITS.limit);
  const served: Lane[] = [];
  const note = (lane: Lane) => (slot: Slot) => {
    slot.settle();
    served.push(lane);
  };
  for (let count = 0; count < 200; count++) {
    for (const lane of ['interactive', 'aggregation'] as const)
      void budget.acquire({ lane, maxWaitMs: 1e9 }).then(note(lane));
    void budget.acquire({ lane: 'aggregation-poll' }).then(note('aggregation-poll'));
  }
  assert.equal(budget.pressure(), 1);
  await pass(clock, 10_000, 10);
  const of = (lane: Lane) => served.filter(other => other === lane).length / served.length;
  assert.ok(served.length >= 90);
  assert.ok(Math.abs(of('interactive') - 0.8) < 0.03, `${of('interactive')} of the slots to reads`);
  assert.ok(Math.abs(of('aggregation') - 0.1) < 0.03, `${of('aggregation')} to aggregations`);
});

test('a caller who waits for an account aggregation is refused at once where it cannot be served in time', async () => {
  const { clock, budget } = setUp();
  await spendBurst(budget, clock, LIMITS.limit);
  for (let count = 0; count < 20; count++)
    for (const lane of ['interactive', 'aggregation'] as const)
      budget.acquire({ lane, maxWaitMs: 1e9 }).then(
        slot => slot.settle(),
        () => {},
      );
  // Nine slots go to reads and one to an aggregation, a second for ten: the 21st waits for some 19
  // s.
  await assert.rejects(budget.acquire({ lane: 'aggregation', maxWaitMs: 10_000 }), {
    code: 'RATE_LIMITED',
  });
  let served = false;
  budget.acquire({ lane: 'aggregation', maxWaitMs: 60_000 }).then(
    () => (served = true),
    () => {},
  );
  assert.equal(budget.pressure(), 1);
  await pass(clock, 30_000, 50);
  assert.ok(served);
});

test('the share of a lane without waiting requests goes to the other lanes', async () => {
  const { clock, budget } = setUp();
  await spendBurst(budget, clock, LIMITS.limit);
  const served: Lane[] = [];
  for (const lane of ['task-poll', 'list-poll'] as const)
    for (let count = 0; count < 40; count++)
      void budget.acquire({ lane }).then(slot => {
        slot.settle();
        served.push(lane);
      });
  await pass(clock, 4_000, 10);
  assert.ok(served.length >= 36, `${served.length} in four windows`);
  const lists = served.filter(lane => lane === 'list-poll').length;
  assert.ok(Math.abs(lists - served.length / 2) <= 1, `${lists} of ${served.length}`);
});

test('a token request goes before all waiting requests', async () => {
  const { clock, budget } = setUp();
  await spendBurst(budget, clock, LIMITS.limit);
  const served: Lane[] = [];
  for (const lane of ['interactive', 'interactive', 'token'] as const)
    void budget.acquire({ lane, maxWaitMs: 1e9 }).then(slot => {
      slot.settle();
      served.push(lane);
    });
  await pass(clock, 1_000);
  assert.deepEqual(served, ['token', 'interactive', 'interactive']);
});

test('with three times as many readers as upstream allows, every slot is used in time, the rest get a time to retry, and polls continue', async () => {
  const limits = { limit: 100, windowMs: 10_000 };
  const [latencyMs, maxWaitMs] = [150, 30_000];
  const { clock, budget } = setUp(limits);
  let answered = 0;
  const refusals: { at: number; retryAfterSeconds: number; waitedMs: number }[] = [];
  const waits: number[] = [];
  const read = async () => {
    const requestedAt = clock.monotonic();
    try {
      const slot = await budget.acquire({ lane: 'interactive', maxWaitMs });
      await new Promise<void>(resolve => clock.after(latencyMs, resolve));
      slot.settle();
      budget.recordAnswerTime(latencyMs);
      answered++;
      waits.push(clock.monotonic() - requestedAt);
    } catch (error) {
      assert.ok(error instanceof GatewayError && error.code === 'RATE_LIMITED');
      const { retryAfterSeconds = NaN } = error.extensions;
      const at = clock.monotonic();
      refusals.push({ at, retryAfterSeconds, waitedMs: at - requestedAt });
    }
  };
  const polls = { 'task-poll': 0, 'list-poll': 0 };
  const poll = async (lane: keyof typeof polls): Promise<void> => {
    const slot = await budget.acquire({ lane });
    clock.after(latencyMs, () => {
      slot.settle();
      polls[lane]++;
      void poll(lane);
    });
  };
  void poll('task-poll');
  void poll('list-poll');
  const overloadMs = 180_000;
  for (let ms = 0; ms < overloadMs; ms += 100) {
    for (let count = 0; count < 3; count++) void read();
    await setImmediate();
    await pass(clock, 100, 50);
  }

  // A slot comes back a window after its answer, so the rate is a little less than the limit says.
  const rate = (overloadMs / (limits.windowMs + latencyMs)) * limits.limit;
  const used = answered + polls['task-poll'] + polls['list-poll'];
  assert.ok(used >= 0.97 * rate, `${used} of ${rate}`);
  for (const lane of ['task-poll', 'list-poll'] as const)
    assert.ok(polls[lane] >= 0.07 * rate, `${polls[lane]} of ${lane}`);
  assert.ok(Math.max(...waits) <= maxWaitMs);
  const late = refusals.filter(({ waitedMs }) => waitedMs > 0);
  assert.ok(late.length <= 0.01 * refusals.length, `${late.length} were refused after waiting`);

  // The load has ended, so a caller that retries after the stated time is served at once.
  const last = refusals.at(-1)!;
  assert.ok(
    last.retryAfterSeconds >= 25 && last.retryAfterSeconds <= 45,
    `${last.retryAfterSeconds} s`,
  );
  await pass(clock, last.at + last.retryAfterSeconds * 1_000 - clock.monotonic(), 50);
  const { length } = waits;
  const back = read();
  await pass(clock, 1_000, 50);
  await back;
  assert.equal(waits.length, length + 1);
});

test('when answers are slow, a reader gets no slot if its deadline is before the expected answer', async () => {
  const { clock, budget } = setUp();
  for (let count = 0; count < 20; count++) budget.recordAnswerTime(800);
  await spendBurst(budget, clock, LIMITS.limit);
  const queued = Array.from({ length: 10 }, () =>
    budget.acquire({ lane: 'interactive', maxWaitMs: 1e9 }).then(slot => slot.settle()),
  );
  const startedAt = clock.monotonic();
  const outcomes = Array.from({ length: 30 }, () =>
    budget.acquire({ lane: 'interactive', maxWaitMs: 3_000 }).then(
      slot => {
        slot.settle();
        return clock.monotonic() - startedAt;
      },
      (error: GatewayError) => error.code,
    ),
  );
  await pass(clock, 4_000, 10);
  const settled = await Promise.all(outcomes);
  await Promise.all(queued);
  const grantedAfter = settled.filter(outcome => typeof outcome === 'number');
  assert.ok(grantedAfter.length >= 5 && grantedAfter.length < 25, `${grantedAfter.length} granted`);
  assert.ok(Math.max(...grantedAfter) <= 2_250, `granted after ${Math.max(...grantedAfter)} ms`);
  assert.ok(settled.every(outcome => typeof outcome === 'number' || outcome === 'RATE_LIMITED'));
});

test('when answers become slow while readers wait, those that cannot be answered in time get no slot', async () => {
  const { clock, budget } = setUp();
  await spendBurst(budget, clock, LIMITS.limit);
  const startedAt = clock.monotonic();
  const outcomes = Array.from({ length: 35 }, () =>
    budget.acquire({ lane: 'interactive', maxWaitMs: 4_000 }).then(
      slot => {
        slot.settle();
        return clock.monotonic() - startedAt;
      },
      (error: GatewayError) => error.code,
    ),
  );
  await pass(clock, 500, 10);
  for (let count = 0; count < 30; count++) budget.recordAnswerTime(2_000);
  await pass(clock, 4_500, 10);
  const settled = await Promise.all(outcomes);
  const grantedAfter = settled.filter(outcome => typeof outcome === 'number');
  assert.ok(grantedAfter.length >= 15, `${grantedAfter.length} granted`);
  assert.ok(Math.max(...grantedAfter) <= 2_000, `granted after ${Math.max(...grantedAfter)} ms`);
  assert.ok(settled.includes('RATE_LIMITED'));
});

test('a pause rejects at once callers who cannot wait for its end, with the true time; others and polls wait', async () => {
  const { clock, budget } = setUp();
  await spendBurst(budget, clock, LIMITS.limit);
  const outcomes = new Map<string, number | undefined>();
  const note = (name: string, slot: Promise<Slot>) =>
    slot.then(
      () => outcomes.set(name, clock.monotonic()),
      (error: GatewayError) => outcomes.set(name, error.extensions.retryAfterSeconds),
    );
  void note('hasty', budget.acquire({ lane: 'interactive', maxWaitMs: 10_000 }));
  void note('patient', budget.acquire({ lane: 'interactive', maxWaitMs: 60_000 }));
  void note('poll', budget.acquire({ lane: 'task-poll' }));
  await setImmediate();
  const pausedAt = clock.monotonic();
  budget.pause(20_000);
  await setImmediate();
  assert.deepEqual([...outcomes], [['hasty', 20]]);
  await pass(clock, 21_000, 50);
  for (const name of ['patient', 'poll'])
    assert.ok(Number(outcomes.get(name)) >= pausedAt + 20_000, `${name}: ${outcomes.get(name)}`);
});

test('a poll waits without a deadline, and ends only when it is aborted or the gateway closes', async () => {
  const { clock, budget } = setUp({ limit: 1, windowMs: 3_600_000 });
  await budget.acquire({ lane: 'interactive', maxWaitMs: 1_000 });
  const controller = new AbortController();
  const { signal } = controller;
  let aborted: unknown;
  let closed: unknown;
  budget.acquire({ lane: 'task-poll', signal }).catch((error: unknown) => (aborted = error));
  budget.acquire({ lane: 'list-poll' }).catch((error: unknown) => (closed = error));
  await pass(clock, 3_000_000, 60_000);
  assert.deepEqual([aborted, closed], [undefined, undefined]);
  controller.abort('left');
  budget.close();
  await setImmediate();
  assert.equal(aborted, 'left');
  assert.equal((closed as GatewayError).code, 'UPSTREAM_UNAVAILABLE');
  await assert.rejects(budget.acquire({ lane: 'task-poll' }), { code: 'UPSTREAM_UNAVAILABLE' });
});

const anyStep = fc.oneof(
  fc.record({
    kind: fc.constant('acquire' as const),
    lane: fc.constantFrom<Lane[]>(...LANES),
    maxWaitMs: fc.integer({ min: 0, max: 3_000 }),
    abortAfterMs: fc.option(fc.integer({ min: 0, max: 2_000 })),
    end: fc.constantFrom('settle', 'cancel', 'both'),
    endAfterMs: fc.integer({ min: 0, max: 700 }),
  }),
  fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 0, max: 600 }) }),
  fc.record({ kind: fc.constant('pause' as const), ms: fc.integer({ min: 0, max: 1_500 }) }),
);

test('whatever is acquired, aborted, cancelled, settled and paused, the limit holds and every slot becomes free', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyStep, { minLength: 20, maxLength: 80 }), async steps => {
      const limits = { limit: 5, windowMs: 1_000 };
      const clock = new HandClock();
      const window = new LocalWindow(limits, clock);
      const budget = createBudget(window, limits, clock);
      const sentAt: number[] = [];
      let open = 0;
      for (const step of steps) {
        if (step.kind === 'pass') await pass(clock, step.ms, 20);
        else if (step.kind === 'pause') budget.pause(step.ms);
        else {
          const { lane, maxWaitMs, abortAfterMs, end, endAfterMs } = step;
          const controller = new AbortController();
          const { signal } = controller;
          if (abortAfterMs !== null) clock.after(abortAfterMs, () => controller.abort());
          open++;
          const waits = lane.endsWith('-poll') ? {} : { maxWaitMs };
          void budget
            .acquire({ lane, signal, ...waits } as SlotRequest)
            .then(slot => {
              if (end !== 'cancel') sentAt.push(clock.monotonic());
              clock.after(endAfterMs, () => {
                if (end !== 'cancel') slot.settle();
                if (end !== 'settle') slot.cancel();
                open--;
              });
            })
            .catch(() => open--);
        }
      }
      for (let rounds = 0; open > 0; rounds++) {
        assert.ok(rounds < 1_000, `${open} are neither served nor refused`);
        await pass(clock, 200, 20);
      }
      for (const at of sentAt) {
        const inWindow = sentAt.filter(other => other > at - limits.windowMs && other <= at);
        assert.ok(inWindow.length <= limits.limit, `${inWindow.length} in a window`);
      }
      await pass(clock, 5_000, 100);
      assert.equal(window.outlook().free, limits.limit);
      assert.ok(budget.isIdle());
    }),
    { numRuns: 60 },
  );
});

test('a request whose caller has disconnected is dropped and uses no slot', async () => {
  const { clock, budget } = setUp({ limit: 1, windowMs: 1_000 });
  const first = await budget.acquire({ lane: 'interactive', maxWaitMs: 1e9 });
  const controller = new AbortController();
  const abandoned = budget.acquire({
    lane: 'interactive',
    maxWaitMs: 1e9,
    signal: controller.signal,
  });
  let served = false;
  void budget.acquire({ lane: 'interactive', maxWaitMs: 1e9 }).then(() => (served = true));
  controller.abort(new Error('left'));
  await assert.rejects(abandoned, /left/);
  first.settle();
  await pass(clock, 1_000, 10);

  assert.ok(served, 'the slot went to the next in the queue');
});

test('a request that cannot be served in time fails at once, with a time to retry', async () => {
  const { budget } = setUp({ limit: 1, windowMs: 10_000 });
  await budget.acquire({ lane: 'interactive', maxWaitMs: 1_000 });
  await assert.rejects(budget.acquire({ lane: 'interactive', maxWaitMs: 1_000 }), {
    code: 'RATE_LIMITED',
    extensions: { code: 'RATE_LIMITED', retryAfterSeconds: 10 },
  });
});

test('a pause stops all requests, and waiting ones are served after it', async () => {
  const { clock, budget } = setUp();
  budget.pause(5_000);
  let servedAt: number | null = null;
  void budget
    .acquire({ lane: 'interactive', maxWaitMs: 1e9 })
    .then(() => (servedAt = clock.monotonic()));
  await setImmediate();
  await pass(clock, 4_990, 10);
  assert.equal(servedAt, null);
  await pass(clock, 20, 10);
  assert.equal(servedAt, 5_000);
});

test('a cancelled slot is free at once', async () => {
  const { budget } = setUp({ limit: 1, windowMs: 1_000 });
  const request = { lane: 'interactive', maxWaitMs: 0 } as const;
  const slot: Slot = await budget.acquire(request);
  slot.cancel();
  slot.settle();
  (await budget.acquire(request)).settle();
});
