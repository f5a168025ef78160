import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import type { Fleet, Lease, WatchGroup } from '../../src/fleet/fleet.ts';
import { createLocalFleet } from '../../src/fleet/local.ts';
import { openFleet } from '../support/fleet.ts';
import { WITHOUT_OWN_REDIS, WITHOUT_REDIS, redisUrlFor, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const LIMITS = { limit: 20, windowMs: 400 };

/** An instance in a group, and the messages it received. */
interface Member {
  group: WatchGroup<string>;
  received: string[];
  reconnects: () => number;
}

async function join(t: TestContext, fleet: Fleet, name = 'credential'): Promise<Member> {
  const received: Member['received'] = [];
  let reconnects = 0;
  const group = fleet.openGroup<string>(name, {
    receive: message => void received.push(message),
    onReconnect: () => void reconnects++,
  });
  t.after(() => group.close());
  await group.joined;
  return { group, received, reconnects: () => reconnects };
}

/** Opens a group in every instance of a fleet of this kind. */
const KINDS: Record<
  string,
  { skip: string | false; open: (t: TestContext) => Promise<[Member, ...Member[]]> }
> = {
  local: {
    skip: false,
    open: async t => [await join(t, createLocalFleet(LIMITS, systemClock))],
  },
  redis: {
    skip: WITHOUT_REDIS,
    async open(t) {
      const url = await redisUrlFor(t);
      return openThree(t, url);
    },
  },
};

async function openThree(t: TestContext, url: string): Promise<[Member, Member, Member]> {
  // A Redis that was there before may know of other tests' groups.
  const name = randomUUID();
  const one = async () => join(t, await openFleet(t, url, LIMITS), name);
  return [await one(), await one(), await one()];
}

async function watchedOf({ group }: Member): Promise<string[]> {
  return [...(await group.watchedIds())].toSorted();
}

function holdersOf(leases: readonly Lease[]): number {
  return leases.filter(({ isHeld }) => isHeld).length;
}

for (const [kind, { skip, open }] of Object.entries(KINDS)) {
  test(`${kind}: every instance receives each message once and in order`, { skip }, async t => {
    const members = await open(t);
    for (const place of Array(100).keys()) members[0].group.publish(String(place));
    const expected = Array.from({ length: 100 }, (_, place) => String(place));
    for (const member of members) {
      await until(() => member.received.length >= 100);
      assert.deepEqual(member.received, expected);
    }
  });

  test(
    `${kind}: an id is watched until the last instance that watches it stops`,
    { skip },
    async t => {
      const members = await open(t);
      const [first] = members;
      const last = members.at(-1) ?? first;
      first.group.watch('a');
      last.group.watch('b');
      for (const { group } of members) group.watch('c');
      // An instance's own ids are written before it reads them. Those of others appear once they
      // are written.
      for (const member of members) {
        let watched: string[] = [];
        while (watched.length < 3) watched = await watchedOf(member);
        assert.deepEqual(watched, ['a', 'b', 'c']);
      }
      first.group.unwatch('a');
      if (last !== first) first.group.unwatch('c');
      // An instance that has not written its change yet still watches `b`; at least two watch `c`.
      assert.ok(!(await watchedOf(first)).includes('a'));
      if (last !== first) assert.ok((await watchedOf(first)).includes('c'));
      last.group.unwatch('b');
      for (const { group } of members) group.unwatch('c');
      for (const member of members) {
        let watched = ['?'];
        while (watched.length > 0) watched = await watchedOf(member);
      }
    },
  );

  test(
    `${kind}: a lease has one holder; when the holder closes it, another gets it and is notified`,
    { skip },
    async t => {
      const members = await open(t);
      const received: number[] = [];
      const leases = members.map(({ group }, place) =>
        group.openLease('tasks', () => received.push(place)),
      );
      let waiting = [...leases];
      while (waiting.length > 0) {
        await until(() => holdersOf(leases) === 1);
        const holder = waiting.find(({ isHeld }) => isHeld);
        assert.ok(holder, 'none of those who have closed it holds it');
        waiting = waiting.filter(lease => lease !== holder);
        holder.close();
        if (waiting.length > 0) await until(() => holdersOf(waiting) === 1);
        leases.splice(leases.indexOf(holder), 1);
      }
      // With a single instance the lease is held from the start.
      if (members.length > 1) assert.deepEqual(received.toSorted(), [0, 1, 2]);
    },
  );
}

test(
  'without Redis each instance holds the lease; when Redis is back, one holds it again',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    const members = await openThree(t, redis.url);
    const leases = members.map(({ group }) => group.openLease('tasks', () => {}));
    for (const [place, { group }] of members.entries()) group.watch(String(place));
    await until(() => holdersOf(leases) === 1);

    await redis.kill();
    await until(() => holdersOf(leases) === 3);
    for (const [place, member] of members.entries())
      assert.deepEqual(await watchedOf(member), [String(place)]);
    members[0].group.publish('published without Redis');

    await redis.start();
    await until(() => members.every(({ reconnects }) => reconnects() === 1));
    await until(() => holdersOf(leases) === 1);
    members[0].group.publish('published with Redis');
    await until(() => members.every(({ received }) => received.at(-1) === 'published with Redis'));
    for (const { received } of members.slice(1))
      assert.deepEqual(
        received,
        ['published with Redis'],
        'a message sent while disconnected reaches no other instance',
      );
    for (const member of members) {
      let watched: string[] = [];
      while (watched.length < 3) watched = await watchedOf(member);
    }
  },
);
