import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { systemClock } from '../../src/clock.ts';
import type { BudgetWindow } from '../../src/fleet/fleet.ts';
import { createLocalFleet } from '../../src/fleet/local.ts';
import { SlotLog } from '../../src/fleet/slot-log.ts';
import { openFleet } from '../support/fleet.ts';
import { startWire } from '../support/wire.ts';
import { WITHOUT_OWN_REDIS, WITHOUT_REDIS, redisUrlFor, startRedis } from '../support/redis.ts';
import { HandClock } from '../support/hand-clock.ts';
import { spend, take, worstOf } from '../support/spend.ts';
import { until } from '../support/until.ts';

const LIMITS = { limit: 20, windowMs: 400 };

/** The windows of one budget, of one instance or several. */
type OpenWindows = (t: TestContext) => Promise<BudgetWindow[]>;

const KINDS: Record<string, { skip: string | false; open: OpenWindows }> = {
  local: {
    skip: false,
    async open() {
      const window = createLocalFleet(LIMITS, systemClock).openWindow('client');
      return [window, window, window];
    },
  },
  redis: {
    skip: WITHOUT_REDIS,
    async open(t) {
      const url = await redisUrlFor(t);
      // Longer than a test holds a slot on any machine: taking all slots takes more than a second.
      const options = { maxRequestMs: 60_000 };
      const fleets = await Promise.all([1, 2, 3].map(() => openFleet(t, url, LIMITS, options)));
      // A Redis that was there before may know of other tests' budgets.
      const name = randomUUID();
      return fleets.map(fleet => fleet.openWindow(name));
    },
  },
};

for (const [kind, { skip, open }] of Object.entries(KINDS)) {
  test(
    `${kind}: however many instances take slots, no window holds more than the limit`,
    { skip },
    async t => {
      const windows = await open(t);
      const countedAt: number[] = [];
      const spenders = windows.flatMap(window =>
        [1, 2, 3, 4].map(() => spend(window, () => countedAt.length >= 120, countedAt)),
      );
      await Promise.all(spenders);
      assert.ok(
        worstOf(countedAt, LIMITS.windowMs) <= LIMITS.limit,
        `${worstOf(countedAt, LIMITS.windowMs)} in a window`,
      );
    },
  );

  test(
    `${kind}: a pause stops all callers, and a shorter one does not end it early`,
    { skip },
    async t => {
      const [one, other] = await open(t);
      one!.pause(300);
      one!.pause(50);
      const startedAt = performance.now();
      // Calls arrive in the order in which they were made, so a later take sees the pause.
      await one!.take();
      const slot = await take(other!);
      assert.ok(performance.now() - startedAt >= 290, `${performance.now() - startedAt} ms`);
      slot.cancel();
    },
  );

  test(
    `${kind}: a cancelled slot is free at once, a settled one is not, and each counts once`,
    { skip },
    async t => {
      const [one, other] = await open(t);
      const slots = await Promise.all(Array.from({ length: LIMITS.limit }, () => take(one!)));
      assert.ok('retryInMs' in (await other!.take()));
      slots[0]!.cancel();
      slots[0]!.settle();
      // All other slots are in use, so this must be the one that was given back.
      (await take(other!)).settle();
      for (const slot of slots) slot.settle();
      const { retryInMs } = (await other!.take()) as { retryInMs: number };
      assert.ok(retryInMs > 0);
    },
  );
}

test(
  'without Redis, instances continue within their share; when Redis is back they rejoin, and the limit always holds',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    const fleets = await Promise.all([1, 2, 3].map(() => openFleet(t, redis.url, LIMITS)));
    // Wait until each instance knows the others.
    await wait(1_200);
    const windows = fleets.map(fleet => fleet.openWindow('client'));
    t.after(() => windows.forEach(window => window.close()));
    const countedAt: number[] = [];
    let isOver = false;
    const spenders = windows.flatMap(window =>
      [1, 2].map(() => spend(window, () => isOver, countedAt)),
    );
    const spendMore = async (count: number) => {
      const before = countedAt.length;
      await until(() => countedAt.length >= before + count);
    };
    await spendMore(40);
    await redis.kill();
    await spendMore(40);
    await redis.start();
    await spendMore(60);
    isOver = true;
    await Promise.all(spenders);
    assert.ok(
      worstOf(countedAt, LIMITS.windowMs) <= LIMITS.limit,
      `${worstOf(countedAt, LIMITS.windowMs)} in a window`,
    );
  },
);

test(
  'when one instance is cut off and returns, its share is left to it and the limit holds',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    const wire = await startWire(t, redis.url);
    const fleets = [await openFleet(t, wire.url, LIMITS), await openFleet(t, redis.url, LIMITS)];
    const windows = fleets.map(fleet => fleet.openWindow('client'));
    t.after(() => windows.forEach(window => window.close()));
    // Wait until each instance knows the other.
    await wait(1_200);
    const countedAt: number[] = [];
    const own = windows.map(() => [] as number[]);
    let isOver = false;
    const spenders = windows.flatMap((window, place) =>
      [1, 2].map(async () => {
        while (!isOver) {
          const slot = await take(window);
          if (!slot.isValid()) {
            slot.cancel();
            continue;
          }
          countedAt.push(performance.now());
          own[place]?.push(performance.now());
          await wait(Math.random() * 10);
          slot.settle();
        }
      }),
    );
    const more = async (place: number, count: number) => {
      const before = own[place]?.length ?? 0;
      await until(() => (own[place]?.length ?? 0) >= before + count);
    };
    await more(0, 20);
    wire.cut();
    await more(0, 20);
    await more(1, 20);
    wire.heal();
    await more(0, 20);
    isOver = true;
    await Promise.all(spenders);
    assert.ok(
      worstOf(countedAt, LIMITS.windowMs) <= LIMITS.limit,
      `${worstOf(countedAt, LIMITS.windowMs)} in a window`,
    );
  },
);

test(
  'a pause that one instance requested stops the others too, when Redis is disconnected',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    const fleets = await Promise.all([1, 2].map(() => openFleet(t, redis.url, LIMITS)));
    const [one, other] = fleets.map(fleet => fleet.openWindow('client'));
    one!.pause(60_000);
    // It receives the message without a request of its own.
    await until(() => other!.outlook().pausedForMs > 0);
    // It may have read the first pause when it joined. It can know the second only from a message.
    one!.pause(120_000);
    await until(() => other!.outlook().pausedForMs > 100_000);
    await redis.kill();
    const isAlone = async () => (await other!.take()) as { retryInMs: number };
    // After the disconnect the first attempt is repeated immediately; then the standalone window
    // reports the pause.
    let taken = await isAlone();
    while (taken.retryInMs < 1_000) taken = await isAlone();
    assert.ok(taken.retryInMs > 100_000, `${taken.retryInMs} ms`);
  },
);

test('the slot log drops slots as they become free', () => {
  const clock = new HandClock();
  const log = new SlotLog(clock);
  for (let slot = 0; slot < 10_000; slot++) {
    log.put(String(slot), 2_000);
    clock.advance(5);
    log.put(String(slot), 1_000);
    clock.advance(5);
  }
  assert.ok(log.size <= 102, `${log.size} slots`);
  assert.equal(log.taken().length, 100);
  assert.deepEqual(log.taken()[0], ['9999', 995]);
});
