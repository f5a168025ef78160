import { request } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { Sandbox } from '../src/sandbox/sandbox.ts';
import { forkGateway } from './gateway.ts';
import { PROGRESS, type Received, at, countEvent, openSocket, until } from './subscribers.ts';
import { startTenant } from './tenant.ts';

// Ten thousand subscribers to a thousand running tasks. A quarter of the tasks changes between
// polls, then all complete. Runs once with a healthy upstream, once with one that often fails and
// sometimes answers 429.
const TASKS = 1_000;
const SUBSCRIBERS = 10_000;
const PER_SOCKET = 100;
const ROUNDS = 8;
const POLL_GAP_MS = 300;

type Transport = 'sse' | 'ws';

const rows = [];
for (const transport of ['sse', 'ws'] as const)
  for (const isFailing of [false, true]) rows.push(await measure(transport, isFailing));
console.table(rows);

async function measure(transport: Transport, isFailing: boolean) {
  const { sandbox, ids } = await startTenant(TASKS);
  const gateway = await forkGateway(sandbox);
  const received: Received = { events: 0, ended: 0, at: [] };
  const before = await gateway.usage();
  const close = await subscribeAll(transport, gateway.url, ids, received);
  await until(() => received.events >= SUBSCRIBERS);
  const subscribed = await gateway.usage();
  const { journal } = sandbox;
  journal.clear();
  if (isFailing) {
    sandbox.faults.order({ fault: { kind: 'status', status: 503 }, rate: 0.2 });
    sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '1' }, rate: 0.02 });
  }

  const startedAt = performance.now();
  const changes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    // A quarter of the tasks changes between two polls, as many as would change on their own.
    const changing = ids.filter((_, place) => place % 4 === round % 4);
    for (const id of changing) sandbox.tenant.correct(id, { completedAt: Date.now() + round });
    changes.push(...(await delivered(received, changing.length * (SUBSCRIBERS / TASKS), sandbox)));
  }
  const perPoll = requestsPerPoll(sandbox);
  for (const id of ids) sandbox.tenant.finish(id);
  const ends = await delivered(received, SUBSCRIBERS, sandbox);
  const seconds = (performance.now() - startedAt) / 1_000;
  await until(() => received.ended >= SUBSCRIBERS);
  const after = await gateway.usage();
  const row = {
    transport,
    upstream: isFailing ? 'fails' : 'well',
    subscribers: SUBSCRIBERS,
    'final events lost': SUBSCRIBERS - received.ended,
    'most upstream requests per poll': isFailing ? '' : perPoll,
    'most in any 10 s': journal.worstWindow(10_000),
    'change delivered, p50 ms': at(changes, 0.5),
    'p99 ms': at(changes, 0.99),
    'all ends at once, p99 ms': at(ends, 0.99),
    'RSS KB a subscriber': Math.round(((subscribed.rssMb - before.rssMb) * 1024) / SUBSCRIBERS),
    'heap KB a subscriber': Math.round(((subscribed.heapMb - before.heapMb) * 1024) / SUBSCRIBERS),
    'CPU %': Math.round((100 * (after.cpuSeconds - subscribed.cpuSeconds)) / seconds),
  };
  close();
  await gateway.close();
  await sandbox.close();
  return row;
}

/**
 * Waits for this many events. Returns for each the milliseconds since upstream's last answer before
 * it.
 */
async function delivered(
  received: Received,
  count: number,
  { journal }: Sandbox,
): Promise<number[]> {
  const already = received.events;
  received.at.length = 0;
  await until(() => received.events >= already + count);
  const answers = journal.requests.map(({ answeredAt }) => answeredAt).filter(moment => moment > 0);
  return received.at.map(
    moment => moment - (answers.findLast(answered => answered <= moment) ?? moment),
  );
}

/**
 * Counts requests in quick succession as one poll. Returns the size of the largest complete one.
 */
function requestsPerPoll({ journal }: Sandbox): number {
  const polls: number[] = [];
  let previous = -Infinity;
  for (const { at: moment } of journal.requests) {
    if (moment - previous > POLL_GAP_MS) polls.push(0);
    polls[polls.length - 1]!++;
    previous = moment;
  }
  // The first poll had started before the journal was opened.
  return Math.max(...polls.slice(1));
}

async function subscribeAll(
  transport: Transport,
  url: string,
  ids: readonly string[],
  received: Received,
): Promise<() => void> {
  const closers: (() => void)[] = [];
  const idOf = (subscriber: number) => ids[subscriber % ids.length] ?? '';
  if (transport === 'ws')
    for (let first = 0; first < SUBSCRIBERS; first += PER_SOCKET)
      closers.push(
        await openSocket(
          url,
          Array.from({ length: PER_SOCKET }, (_, place) => idOf(first + place)),
          received,
        ),
      );
  else
    for (let subscriber = 0; subscriber < SUBSCRIBERS; subscriber++) {
      closers.push(openStream(url, idOf(subscriber), received));
      if (subscriber % 200 === 199) await until(() => received.events >= subscriber - 400);
    }
  return () => closers.forEach(close => close());
}

function openStream(url: string, id: string, received: Received): () => void {
  const stream = request(url, {
    method: 'POST',
    agent: false,
    headers: { accept: 'text/event-stream', 'content-type': 'application/json' },
  });
  stream.on('response', response =>
    response.setEncoding('utf8').on('data', (chunk: string) => {
      for (const line of chunk.split('\n'))
        if (line.startsWith('data: {')) countEvent(received, true, line.includes('"COMPLETED"'));
    }),
  );
  stream.on('error', () => {});
  stream.end(JSON.stringify({ query: PROGRESS, variables: { id } }));
  return () => stream.destroy();
}
