import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createMemoryLog, openFleet } from '../support/fleet.ts';
import { type RedisServer, WITHOUT_OWN_REDIS, freePort, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const LIMITS = { limit: 20, windowMs: 400 };
const KEY = '{task-status-gateway:2}:generation';

function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'redis-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function clientOf(t: TestContext, { port }: { port: number }): Redis {
  const client = new Redis({ port, retryStrategy: () => 50, maxRetriesPerRequest: null });
  client.on('error', () => {});
  t.after(() => client.disconnect());
  return client;
}

/** Repeats a query until its answer is as expected, because a cluster needs time to agree. */
async function settled(ask: () => Promise<boolean>): Promise<void> {
  while (!(await ask().catch(() => false))) await wait(20);
}

const RANGES = [
  [0, 5460],
  [5461, 10_922],
  [10_923, 16_383],
] as const;

/** Three masters, and a replica of the one that has the keys of a gateway. */
async function startCluster(t: TestContext) {
  const nodes = await Promise.all(
    [1, 2, 3, 4].map(async () => {
      const busPort = String(await freePort());
      const args = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '500'];
      const node = await startRedis(t, {
        args: [...args, '--cluster-port', busPort],
      });
      return Object.assign(node, { busPort, client: clientOf(t, node) });
    }),
  );
  const [first, ...others] = nodes;
  const replica = others.pop();
  assert.ok(first && replica);
  const masters = [first, ...others];
  for (const [place, { client }] of masters.entries()) {
    await client.call('CLUSTER', 'ADDSLOTSRANGE', ...RANGES[place]!.map(String));
    // Each needs its own, or none could be elected.
    await client.call('CLUSTER', 'SET-CONFIG-EPOCH', String(place + 1));
  }
  for (const { port, busPort } of [...others, replica])
    await first.client.call('CLUSTER', 'MEET', '127.0.0.1', String(port), busPort);
  const slot = Number(await first.client.call('CLUSTER', 'KEYSLOT', KEY));
  const place = RANGES.findIndex(([from, to]) => from <= slot && slot <= to);
  const owner = masters[place]!;
  const id = String(await owner.client.call('CLUSTER', 'MYID'));
  await settled(async () => (await replica.client.call('CLUSTER', 'REPLICATE', id)) === 'OK');
  await settled(async () => (await replica.client.info()).includes('master_link_status:up'));
  for (const { client } of nodes)
    await settled(async () => {
      const info = String(await client.call('CLUSTER', 'INFO'));
      return info.includes('cluster_state:ok') && info.includes('cluster_size:3');
    });
  return { owner, replica, stranger: masters[(place + 1) % masters.length]! };
}

/** Two instances, and whether they share a budget, a lease and a channel. */
async function openPair(t: TestContext, urls: [string, string]) {
  const { log, lines } = createMemoryLog();
  const fleets = await Promise.all(urls.map(url => openFleet(t, url, LIMITS, { log })));
  const name = randomUUID();
  const received: string[] = [];
  const groups = fleets.map(fleet =>
    fleet.openGroup<string>(name, {
      receive: text => void received.push(text),
      onReconnect: () => {},
    }),
  );
  await Promise.all(groups.map(({ joined }) => joined));
  const leases = groups.map(group => group.openLease('tasks', () => {}));
  const windows = fleets.map(fleet => fleet.openWindow(name));
  t.after(() => windows.forEach(window => window.close()));
  return {
    lines,
    async isShared() {
      await until(() => leases.filter(({ isHeld }) => isHeld).length === 1);
      const text = randomUUID();
      groups[0]!.publish(text);
      // Both receive it, including the one that published it.
      await until(() => received.filter(message => message === text).length === 2);
      for (const window of windows)
        for (let taken = await window.take(); !('slot' in taken); taken = await window.take())
          await wait(taken.retryInMs);
    },
    /** Without those of leases, which are taken and lost in the course of things. */
    linesOfRedis: () => lines.filter(line => line.startsWith('Redis')),
    async isBack(times: number) {
      const backs = () => lines.filter(line => line.startsWith('Redis is back')).length;
      await until(() => backs() >= times * fleets.length);
    },
  };
}

test(
  'all nodes of a Redis Cluster lead to one fleet, also after a master fails',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const { owner, replica, stranger } = await startCluster(t);
    const pair = await openPair(t, [
      // A plain URL of a node that does not have the keys, and one of the cluster.
      stranger.url,
      owner.url.replace('redis:', 'redis-cluster:'),
    ]);
    await pair.isShared();
    assert.deepEqual(pair.linesOfRedis(), []);

    await owner.kill();
    await pair.isBack(1);
    await pair.isShared();
    assert.match(await replica.client.info('replication'), /role:master/);
  },
);

test(
  "the sentinels' master is found, and the new one after a failover",
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const master = await startRedis(t);
    const replica = await startRedis(t, {
      args: ['--replicaof', '127.0.0.1', String(master.port), '--repl-diskless-sync-delay', '0'],
    });
    await settled(async () =>
      (await clientOf(t, replica).info()).includes('master_link_status:up'),
    );
    const sentinels = await Promise.all([1, 2, 3].map(() => startSentinel(t, master)));
    for (const sentinel of sentinels)
      await settled(async () => {
        const answer = (await clientOf(t, sentinel).call('SENTINEL', 'MASTER', 'main')) as string[];
        const field = (name: string) => answer[answer.indexOf(name) + 1];
        return field('num-slaves') === '1' && field('num-other-sentinels') === '2';
      });
    const hosts = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
    const pair = await openPair(t, [
      `redis-sentinel://127.0.0.1:${await freePort()},${hosts}/main`,
      `redis-sentinel://${hosts}/main`,
    ]);
    await pair.isShared();
    assert.deepEqual(pair.linesOfRedis(), []);

    await master.kill();
    await pair.isBack(1);
    await pair.isShared();
    assert.match(await clientOf(t, replica).info('replication'), /role:master/);

    await assert.rejects(
      openFleet(t, `redis-sentinel://${hosts}/other`, LIMITS),
      /^Error: REDIS_URL: the sentinels do not know a master named other$/,
    );
    await assert.rejects(
      openFleet(t, `redis://${hosts.split(',')[0]}`, LIMITS),
      /^Error: REDIS_URL: the host is a Redis Sentinel; use redis-sentinel:/,
    );
  },
);

async function startSentinel(t: TestContext, master: RedisServer): Promise<RedisServer> {
  const path = join(directory(t), 'sentinel.conf');
  writeFileSync(
    path,
    [
      `sentinel monitor main 127.0.0.1 ${master.port} 2`,
      'sentinel down-after-milliseconds main 300',
      'sentinel failover-timeout main 2000',
      '',
    ].join('\n'),
  );
  return startRedis(t, { args: [path, '--sentinel'], readyLine: '+monitor master' });
}
