import { performance } from 'node:perf_hooks';
import { Random } from '../src/sandbox/random.ts';
import { spawnRedis } from '../test/support/redis.ts';
import { forkGateway } from './gateway.ts';
import { type Received, openSocket, until } from './subscribers.ts';
import { startTenant } from './tenant.ts';

// Two, then three instances share a Redis that hangs (SIGSTOP) ten times, for 1, 3 or 10 s, under
// subscribers to 15,000 running tasks and an upstream that allows 100 requests in any 10 s. After
// each hang begins, a part of the tasks ends. `tsx bench/redis-stalls.ts 2` runs one of the two; a
// second argument is the seed.
const TASKS = 15_000;
const PER_SOCKET = 200;
const STALLS = 10;
const STALLS_MS = [1_000, 3_000, 10_000];
const MOST_BETWEEN_MS = 8_000;
const WINDOW_MS = 10_000;

const [only, seed = '1'] = process.argv.slice(2);
const rows = [];
for (const count of only ? [Number(only)] : [2, 3]) rows.push(await run(count));
console.table(rows);

async function run(count: number): Promise<Record<string, string | number>> {
  const random = new Random(Number(seed));
  const redis = await spawnRedis();
  const { sandbox, ids } = await startTenant(TASKS);
  const { journal, tenant } = sandbox;
  const gateways = [];
  for (let place = 0; place < count; place++)
    gateways.push(await forkGateway(sandbox, { REDIS_URL: redis.url }));
  const received: Received = { events: 0, ended: 0, at: [] };
  const startedAt = performance.now();
  for (let place = 0; place < TASKS; place += PER_SOCKET)
    await openSocket(
      gateways[(place / PER_SOCKET) % count]?.url ?? '',
      ids.slice(place, place + PER_SOCKET),
      received,
    );
  await until(() => received.events >= TASKS);
  const begunMs = performance.now() - startedAt;

  let hungMs = 0;
  for (let stall = 0; stall < STALLS; stall++) {
    await pause(random.between(0, MOST_BETWEEN_MS));
    const stallMs = random.pick(STALLS_MS);
    redis.freeze();
    hungMs += stallMs;
    const [from, to] = [stall, stall + 1].map(part => Math.floor((part * TASKS) / STALLS));
    for (const id of ids.slice(from, to)) tenant.finish(id);
    await pause(stallMs);
    redis.thaw();
  }
  const lastAt = performance.now();
  await until(() => received.ended >= TASKS);
  const row = {
    instances: count,
    'Redis hung, s': hungMs / 1_000,
    'subscribed after, s': seconds(begunMs),
    'last end after, s': seconds(performance.now() - lastAt),
    'lost ends': TASKS - received.ended,
    exits: gateways.filter(gateway => gateway.hasExited()).length,
    requests: journal.requests.length,
    'most in any 10 s': journal.worstWindow(WINDOW_MS),
    429: journal.requests.filter(({ status }) => status === 429).length,
  };
  for (const gateway of gateways) if (!gateway.hasExited()) await gateway.close();
  await sandbox.close();
  await redis.kill();
  return row;
}

function seconds(ms: number): number {
  return Number((ms / 1_000).toFixed(1));
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
