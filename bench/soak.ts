import { performance } from 'node:perf_hooks';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { Random } from '../src/sandbox/random.ts';
import { forkGateway } from './gateway.ts';
import { type Received, at, openSocket, until } from './subscribers.ts';
import { startTenant } from './tenant.ts';

// For ten minutes, callers request three times as many distinct lists as upstream's limit allows,
// and some of them disconnect. There are subscriptions to 1,000 tasks and 20 lists, and 2 % of
// upstream's answers fail. All tasks complete during the run. `tsx bench/soak.ts 60` lasts a
// minute.
const SECONDS = Number(process.argv[2] ?? 600);
const TASKS = 1_000;
const PER_SOCKET = 100;
const READS_A_SECOND = 30;
const HANG_UP_SHARE = 0.1;
const MAX_PATIENCE_MS = 5_000;
const FAULT_SHARE = 0.02;

const random = new Random(1);
const { sandbox, ids } = await startTenant(TASKS);
const { journal, tenant, faults } = sandbox;
const gateway = await forkGateway(sandbox);
const received: Received = { events: 0, ended: 0, at: [] };
for (let place = 0; place < TASKS; place += PER_SOCKET)
  await openSocket(gateway.url, ids.slice(place, place + PER_SOCKET), received);
const lists = followLists(gateway.url);
await until(() => received.events >= TASKS);
journal.clear();
const before = await gateway.usage();
for (const kind of ['drop', 'truncate'] as const)
  faults.order({ fault: { kind }, rate: FAULT_SHARE / 4 });
faults.order({ fault: { kind: 'status', status: 503 }, rate: FAULT_SHARE / 2 });

const answers = { answered: 0, refused: 0, failed: 0, 'hung up': 0 };
const codes = new Map<string, number>();
const endedAt: number[] = [];
const startedAt = performance.now();
const reads: Promise<void>[] = [];
const secondsPassed = () => (performance.now() - startedAt) / 1_000;
for (let count = 0; secondsPassed() < SECONDS; count++) {
  while (reads.length < secondsPassed() * READS_A_SECOND) reads.push(read(reads.length));
  while (
    endedAt.length < TASKS &&
    secondsPassed() > ((endedAt.length + 1) * SECONDS * 0.9) / TASKS
  ) {
    tenant.finish(ids[endedAt.length] ?? '');
    endedAt.push(performance.now());
  }
  await new Promise(resolve => setTimeout(resolve, 20));
}
await Promise.all(reads);
await until(() => received.ended >= TASKS);
const after = await gateway.usage();

// Ends are published in the order of polls, which is nearly the order in which the tasks ended.
const ends = received.at.slice(-TASKS).toSorted((a, b) => a - b);
const delays = endedAt.map((moment, place) => (ends[place] ?? NaN) - moment);
// Polls read the pages of running tasks first, later ids.
const polls = journal.requests.filter(
  ({ query }) => query.startsWith('filters=id') || query.includes('isnull'),
);
const gaps = polls.slice(1).map((poll, place) => poll.at - (polls[place]?.at ?? poll.at));
console.table({
  seconds: SECONDS,
  'reads a second': READS_A_SECOND,
  ...answers,
  'answered a second': round(answers.answered / SECONDS),
  'upstream requests a second': round(journal.requests.length / SECONDS),
  'most in any 10 s': journal.worstWindow(10_000),
  429: journal.requests.filter(({ status }) => status === 429).length,
  'longest without a poll of tasks, s': round(Math.max(...gaps) / 1_000),
  'end received, p50 s': round(at(delays, 0.5) / 1_000),
  'end received, longest s': round(at(delays, 1) / 1_000),
  'ends lost': TASKS - received.ended,
  'streams of lists ended': lists.ended(),
  'heap at the start, MB': Math.round(before.heapMb),
  'heap at the end, MB': Math.round(after.heapMb),
  'processor, %': Math.round(((after.cpuSeconds - before.cpuSeconds) / SECONDS) * 100),
});
console.log('Codes:', Object.fromEntries(codes));
lists.close();
await gateway.close();
await sandbox.close();
process.exit(0);

async function read(count: number): Promise<void> {
  const leaves = random.chance(HANG_UP_SHARE);
  const signal = leaves ? AbortSignal.timeout(random.between(1, MAX_PATIENCE_MS)) : null;
  const query = `{ taskStatuses(first: 1, filter: { launcher: { eq: "u${count}" } }) { nodes { id } } }`;
  try {
    const response = await fetch(gateway.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
      signal,
    });
    const { errors } = (await response.json()) as {
      errors?: { extensions: { code: string } }[];
    };
    const code = errors?.[0]?.extensions.code;
    if (code === undefined) answers.answered++;
    else {
      codes.set(code, (codes.get(code) ?? 0) + 1);
      answers[code === 'RATE_LIMITED' ? 'refused' : 'failed']++;
    }
  } catch (error) {
    if (!leaves) throw error;
    answers['hung up']++;
  }
}

/** Subscribes to twenty different lists. */
function followLists(url: string) {
  const client = createClient({ url: url.replace('http', 'ws'), webSocketImpl: WebSocket });
  const launchers = ['System', 'slpt.services', 'ada.admin', 'grace.ops'].map(
    name => `launcher: { eq: "${name}" }`,
  );
  const types = ['CLOUD_ACCOUNT_AGGREGATION', 'CLOUD_GROUP_AGGREGATION', 'CLOUD_REFRESH_ROLE'].map(
    name => `definitionType: { eq: "${name}" }`,
  );
  const sources = tenant.sources.map(({ id }) => `sourceId: { eq: "${id}" }`);
  const pairs = launchers.flatMap(launcher => types.map(type => `${launcher}, ${type}`));
  const filters = [...launchers, ...types, ...sources, ...pairs].slice(0, 20);
  let ended = 0;
  for (const filter of filters)
    client.subscribe(
      { query: `subscription { taskStatusChanged(filter: { ${filter} }) { kind } }` },
      { next: () => {}, error: () => ended++, complete: () => ended++ },
    );
  return { ended: () => ended, close: () => void client.dispose() };
}

function round(value: number): number {
  return Number(value.toFixed(1));
}
