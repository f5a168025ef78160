import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { systemClock } from '../../src/clock.ts';
import { Random } from '../../src/sandbox/random.ts';
import { createMemoryLog, openFleet } from '../support/fleet.ts';
import {
  type RedisServer,
  WITHOUT_OWN_REDIS,
  WITHOUT_REDIS,
  redisUrlFor,
  startRedis,
} from '../support/redis.ts';
import { spend, take, worstOf } from '../support/spend.ts';
import { until } from '../support/until.ts';

const LIMITS = { limit: 20, windowMs: 400 };
const PREFIX = '{task-status-gateway:2}';
const GENERATION = `${PREFIX}:generation`;

test(
  'a request that takes too long keeps its slot until it is answered',
  { skip: WITHOUT_REDIS },
  async t => {
    const url = await redisUrlFor(t);
    const limits = { limit: 2, windowMs: 100 };
    const fleets = await Promise.all(
      [1, 2].map(() => openFleet(t, url, limits, { maxRequestMs: 1_000 })),
    );
    const name = randomUUID();
    const [one, other] = fleets.map(fleet => fleet.openWindow(name));
    t.after(() => [one, other].forEach(window => window!.close()));
    const slots = [await take(one!), await take(one!)];
    // Three times as long as Redis keeps the slots of an instance that has died.
    const end = performance.now() + 3 * (1_000 + 100);
    while (performance.now() < end) {
      const taken = await other!.take();
      assert.ok('retryInMs' in taken);
      await wait(taken.retryInMs);
    }
    assert.ok(slots.every(slot => slot.isValid()));
    for (const slot of slots) slot.settle();
    (await take(other!)).cancel();
  },
);

test(
  'a slot becomes invalid if the process is suspended before it is used',
  { skip: WITHOUT_REDIS },
  async t => {
    const url = await redisUrlFor(t);
    let heldUpMs = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + heldUpMs };
    const fleet = await openFleet(t, url, LIMITS, { clock, maxRequestMs: 10_000 });
    const window = fleet.openWindow(randomUUID());
    t.after(() => window.close());
    const slot = await take(window);
    assert.ok(slot.isValid());
    heldUpMs = 10_001;
    assert.ok(!slot.isValid());
    slot.cancel();
  },
);

test(
  'a slot is given back if Redis gave it but the answer was lost',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    const { log, lines } = createMemoryLog();
    const fleet = await openFleet(t, redis.url, LIMITS, { log, maxRequestMs: 60_000 });
    const window = fleet.openWindow('client');
    t.after(() => window.close());
    const admin = new Redis(redis.url);
    t.after(() => admin.disconnect());
    (await take(window)).cancel();
    redis.freeze();
    assert.ok('retryInMs' in (await window.take()));
    await until(() => lines.length === 1);
    redis.thaw();
    await until(() => lines.some(line => line.startsWith('Redis is back')));
    const slots = `${PREFIX}:${await admin.get(GENERATION)}:budget:client:slots`;
    // If it were not given back, it would count for a minute, the maximum time of a request here.
    while ((await admin.zcard(slots)) > 0) await wait(5);
  },
);

test(
  'when another instance resets the shared state, each writes what it knows',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    const { log, lines } = createMemoryLog();
    const limits = { limit: 20, windowMs: 60_000 };
    const fleets = await Promise.all([1, 2].map(() => openFleet(t, redis.url, limits, { log })));
    const windows = fleets.map(fleet => fleet.openWindow('client'));
    t.after(() => windows.forEach(window => window.close()));
    for (const window of windows) (await take(window)).settle();
    const admin = new Redis(redis.url);
    t.after(() => admin.disconnect());

    await admin.set(GENERATION, 'new');
    await until(() => lines.filter(line => line.startsWith('Redis is back')).length === 2);
    assert.equal(await admin.zcard(`${PREFIX}:new:budget:client:slots`), 2);
  },
);

/** Faults of a Redis, or of the connections to it. */
const BLOWS: Record<string, (redis: RedisServer, admin: Redis) => Promise<unknown>> = {
  flush: (_, admin) => admin.flushall(),
  eviction: async (_, admin) => {
    const keys = await admin.keys('*:slots');
    if (keys.length > 0) await admin.del(...keys);
  },
  // What an instance does when it notices that the clock of Redis was set.
  'new generation': (_, admin) => admin.set(GENERATION, randomUUID()),
  'scripts forgotten': (_, admin) => admin.call('SCRIPT', 'FLUSH'),
  'subscribers dropped': (_, admin) => admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub'),
  'clients dropped': (_, admin) => admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
  hang: async redis => {
    redis.freeze();
    await wait(1_300);
    redis.thaw();
  },
  restart: async redis => {
    await redis.kill();
    await redis.start();
  },
};

for (const seed of [1, 2, 3])
  test(
    `whatever faults Redis has, no window holds more than the limit (seed ${seed})`,
    { skip: WITHOUT_OWN_REDIS },
    async t => {
      const random = new Random(seed);
      const redis = await startRedis(t);
      const admin = new Redis(redis.url, { maxRetriesPerRequest: null });
      admin.on('error', () => {});
      t.after(() => admin.disconnect());
      // Long enough to distinguish slots that must exist from slots that have become free.
      const limits = { limit: 60, windowMs: 3_000 };
      const fleets = await Promise.all([1, 2, 3].map(() => openFleet(t, redis.url, limits)));
      const windows = fleets.map(fleet => fleet.openWindow('client'));
      t.after(() => windows.forEach(window => window.close()));
      t.after(() => windows.forEach(window => window.close()));
      const countedAt: number[] = [];
      let isOver = false;
      const spenders = windows.flatMap(window =>
        [1, 2].map(() => spend(window, () => isOver, countedAt)),
      );
      const steps: string[] = [];
      for (let blow = 0; blow < 8; blow++) {
        const before = countedAt.length;
        const count = random.between(1, 30);
        await until(() => countedAt.length >= before + count);
        const kind = random.pick(Object.keys(BLOWS));
        steps.push(kind);
        await BLOWS[kind]!(redis, admin);
      }
      const before = countedAt.length;
      await until(() => countedAt.length >= before + 20);
      isOver = true;
      await Promise.all(spenders);
      const worst = worstOf(countedAt, limits.windowMs);
      assert.ok(worst <= limits.limit, `${worst} in a window after ${steps.join(', ')}`);
    },
  );
