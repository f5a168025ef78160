import { performance } from 'node:perf_hooks';
import { spawnRedis } from '../test/support/redis.ts';
import { forkGateway } from './gateway.ts';
import { type Received, at, openSocket, until } from './subscribers.ts';
import { startTenant } from './tenant.ts';

// Three instances share a Redis and 3,000 subscribers to 1,000 running tasks. The polling one is
// killed while it waits for upstream, its subscribers go to the others; then Redis is killed, and
// comes back.
const TASKS = 1_000;
const SUBSCRIBERS = 3_000;
const PER_SOCKET = 100;
const STEADY_MS = 12_000;
const ALONE_MS = 12_000;

const redis = await spawnRedis();
const { sandbox, ids } = await startTenant(TASKS);
const { journal, faults, tenant } = sandbox;
const gateways = [];
for (let count = 0; count < 3; count++)
  gateways.push(await forkGateway(sandbox, { REDIS_URL: redis.url }));
const [first, ...others] = gateways;
if (!first) throw new Error('There is no gateway.');
const received: Received = { events: 0, ended: 0, at: [] };

// The first instance gets the right to poll.
await subscribe(first.url, SUBSCRIBERS / 3, 0);
for (const [place, { url }] of others.entries())
  await subscribe(url, SUBSCRIBERS / 3, place * PER_SOCKET);

const rows: Record<string, string | number>[] = [];
journal.clear();
await pause(STEADY_MS);
rows.push({
  phase: `${STEADY_MS / 1_000} s of polling`,
  'upstream requests a second': perSecond(STEADY_MS),
  ...counts(),
});

// It is killed while it waits for the answer of its poll.
faults.order({ fault: { kind: 'latency', ms: 200 }, route: 'list' });
await until(() => journal.requests.some(({ isClosed }) => !isClosed));
endTasks(0, 250);
const killedAt = performance.now();
await first.close();
faults.clear();
const before = journal.requests.length;
const lostHere = received.ended;
for (const [place, { url }] of others.entries())
  await subscribe(url, SUBSCRIBERS / 6, place * (SUBSCRIBERS / 6));
await until(() => journal.requests.slice(before).some(isPoll));
rows.push({ phase: 'the polling instance is killed', ...(await endOf(250, killedAt)) });

await redis.kill();
const lostAt = performance.now();
endTasks(250, 500);
rows.push({ phase: 'Redis is killed', ...(await endOf(500, lostAt)) });
await pause(ALONE_MS);

await redis.start();
const backAt = performance.now();
endTasks(500, 750);
rows.push({ phase: 'Redis is back', ...(await endOf(750, backAt)) });
await pause(ALONE_MS);
const restAt = performance.now();
endTasks(750, TASKS);
rows.push({ phase: 'and a while later', ...(await endOf(TASKS, restAt)) });

console.table(rows);
console.log(`Final events lost: ${SUBSCRIBERS - (received.ended - lostHere)} of ${SUBSCRIBERS}.`);
for (const { close } of others) await close();
await sandbox.close();
await redis.kill();

async function subscribe(url: string, count: number, from: number): Promise<void> {
  const before = received.events;
  for (let place = 0; place < count; place += PER_SOCKET)
    await openSocket(
      url,
      Array.from({ length: PER_SOCKET }, (_, next) => ids[(from + place + next) % TASKS] ?? ''),
      received,
    );
  await until(() => received.events >= before + count);
}

function endTasks(from: number, to: number): void {
  for (const id of ids.slice(from, to)) tenant.finish(id);
}

/** Waits until the subscribers of the first `count` tasks have received the end. */
async function endOf(tasks: number, since: number) {
  received.at.length = 0;
  const expected = lostHere + (tasks * SUBSCRIBERS) / TASKS;
  await until(() => received.ended >= expected);
  const delays = received.at.map(moment => moment - since);
  return {
    'next upstream request, ms': Math.round(
      (journal.requests.slice(before).find(({ at: moment }) => moment > since)?.at ?? NaN) - since,
    ),
    'ends received, p50 ms': at(delays, 0.5),
    'last ms': at(delays, 1),
    ...counts(),
  };
}

function counts() {
  return {
    'most in any 10 s': journal.worstWindow(10_000),
    429: journal.requests.filter(({ status }) => status === 429).length,
  };
}

function isPoll({ query }: { query: string }): boolean {
  return query.includes('isnull');
}

function perSecond(ms: number): number {
  return Number((journal.requests.length / (ms / 1_000)).toFixed(1));
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
