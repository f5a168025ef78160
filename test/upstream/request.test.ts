import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import type { Slot } from '../../src/fleet/fleet.ts';
import { LocalWindow } from '../../src/fleet/local.ts';
import { AttemptFailure, type Diagnosis } from '../../src/upstream/admission/attempt-failure.ts';
import { createBreaker } from '../../src/upstream/admission/breaker.ts';
import { createBudget } from '../../src/upstream/admission/budget.ts';
import type { Lane } from '../../src/upstream/admission/lanes.ts';
import { createRetries } from '../../src/upstream/admission/retry.ts';
import type { SendAttempt } from '../../src/upstream/attempt.ts';
import { type RestRequest, createRequests } from '../../src/upstream/request.ts';
import { createCapturedLog } from '../support/captured-log.ts';
import { HandClock } from '../support/hand-clock.ts';

const LIMITS = { limit: 5, windowMs: 1_000 };

/** Requests over a wire that does as a test says, on a clock held by hand. */
function setUp(
  send: (clock: HandClock, attempt: Parameters<SendAttempt>[0]) => ReturnType<SendAttempt>,
  onGrant: () => void = () => {},
) {
  const clock = new HandClock();
  const window = new LocalWindow(LIMITS, clock);
  const budget = createBudget(window, LIMITS, clock);
  const requests = createRequests({
    send: attempt => send(clock, attempt),
    budget: {
      ...budget,
      async acquire(request) {
        const slot = await budget.acquire(request);
        onGrant();
        return slot;
      },
    },
    credential: { token: () => 'token', discard: () => true },
    clock,
    log: createCapturedLog(),
    retries: createRetries(),
    breaker: createBreaker({ clock, trips: ['failing'] }),
    timeoutMs: 2_000,
    closing: new AbortController().signal,
  });
  return { clock, window, budget, requests };
}

async function pass(clock: HandClock, ms: number, stepMs = 20): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    clock.advance(stepMs);
    await setImmediate();
  }
}

const never: Parameters<typeof setUp>[0] = () => assert.fail('nothing is to be sent');

test('a caller who disconnects between getting its slot and sending its request gives the slot back', async () => {
  let controller = new AbortController();
  const { clock, window, requests } = setUp(
    async (_clock, { signal }) => {
      signal?.throwIfAborted();
      return assert.fail('it was sent all the same');
    },
    () => controller.abort(new Error('left')),
  );
  for (let count = 0; count < LIMITS.limit; count++) {
    controller = new AbortController();
    const { signal } = controller;
    await assert.rejects(
      requests.send({ method: 'GET', path: '/', endpoint: 'list', lane: 'interactive', signal }),
      /left/,
    );
  }
  await pass(clock, 2_000);
  assert.equal(window.outlook().free, LIMITS.limit);
});

test('a request that cannot be built gives its slot back', async () => {
  const { window, requests } = setUp(never);
  const patch = { value: 1n };
  await assert.rejects(
    requests.send({ method: 'PATCH', path: '/', endpoint: 'list', lane: 'interactive', patch }),
    TypeError,
  );
  assert.equal(window.outlook().free, LIMITS.limit);
});

test("waiting for a reserved slot counts towards the request's timeout", async () => {
  const { clock, budget, requests } = setUp(
    (_clock, { signal }) =>
      new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason))),
  );
  budget.pause(1_500);
  const reserving = requests.reserve({ lane: 'interactive' });
  await pass(clock, 1_600);
  const slot = await reserving;
  let code: string | undefined;
  requests
    .send({ method: 'GET', path: '/', endpoint: 'list', lane: 'interactive', slot })
    .catch((error: AttemptFailure) => (code = error.code));
  await pass(clock, 300);
  assert.equal(code, undefined);
  await pass(clock, 200);
  assert.equal(code, 'UPSTREAM_TIMEOUT', 'two seconds after the slot was requested');
});

test('the timeout of a poll starts at its slot, not when it begins to wait', async () => {
  const { clock, budget, requests } = setUp(
    (inner, { onSettled }) =>
      new Promise(resolve =>
        inner.after(1_500, () => {
          onSettled?.();
          resolve({ status: 200, header: () => null, body: Buffer.from('[]'), json: [] });
        }),
      ),
  );
  budget.pause(10_000);
  const poll = requests.send({ method: 'GET', path: '/', endpoint: 'list', lane: 'task-poll' });
  await pass(clock, 12_000);
  assert.equal((await poll).status, 200);
});

const anyRequest = fc.record({
  lane: fc.constantFrom<Lane[]>('interactive', 'task-poll', 'list-poll'),
  outcome: fc.constantFrom('answer', '401', '429', 'failing', 'unreachable', 'hang'),
  isReserved: fc.boolean(),
  isCyclic: fc.boolean(),
  abortAfterMs: fc.option(fc.integer({ min: 0, max: 2_500 })),
  afterMs: fc.integer({ min: 0, max: 300 }),
});

test('however requests end (an answer, a failure, an abort or a timeout), every slot becomes free', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyRequest, { minLength: 5, maxLength: 30 }), async plans => {
      const { clock, window, requests } = setUp(async (inner, { path, signal, onSettled }) => {
        signal?.throwIfAborted();
        try {
          await new Promise<void>((resolve, reject) => {
            if (!path.endsWith('hang')) inner.after(100, resolve);
            signal?.addEventListener('abort', () => reject(signal.reason));
          });
        } finally {
          onSettled?.();
        }
        const fail = (health: Diagnosis['health']) => {
          const diagnosis = { health, maxRetries: 3, mayHaveActed: false };
          throw new AttemptFailure('UPSTREAM_UNAVAILABLE', 'x', diagnosis);
        };
        if (path === '/failing') fail('failing');
        if (path === '/unreachable') fail('unreachable');
        const status = Number(path.slice(1)) || 200;
        return { status, header: () => null, body: Buffer.from('{}'), json: {} };
      });
      let open = 0;
      const run = async ({
        lane,
        outcome,
        isReserved,
        isCyclic,
        abortAfterMs,
      }: (typeof plans)[0]) => {
        const controller = new AbortController();
        const { signal } = controller;
        if (abortAfterMs !== null) clock.after(abortAfterMs, () => controller.abort());
        const request: RestRequest = {
          method: isCyclic ? 'PATCH' : 'GET',
          endpoint: 'list',
          path: `/${outcome}`,
          lane,
          signal,
          ...(isCyclic ? { patch: 1n } : {}),
        };
        let slot: Slot | undefined;
        try {
          if (isReserved) slot = await requests.reserve({ lane, signal });
          await requests.send({ ...request, slot });
        } catch {
          // Each is to end; how is for other tests.
        } finally {
          open--;
        }
      };
      for (const plan of plans) {
        open++;
        // A poll that gets only 429 continues until a caller disconnects.
        const isEndless = plan.outcome === '429' && plan.lane !== 'interactive';
        void run(isEndless ? { ...plan, abortAfterMs: plan.abortAfterMs ?? 2_000 } : plan);
        await pass(clock, plan.afterMs);
      }
      for (let rounds = 0; open > 0; rounds++) {
        assert.ok(rounds < 500, `${open} requests do not end`);
        await pass(clock, 1_000, 50);
      }
      await pass(clock, 5_000, 100);
      assert.equal(window.outlook().free, LIMITS.limit);
    }),
    { numRuns: 40 },
  );
});
