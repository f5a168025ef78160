import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { startSandbox } from '../src/sandbox/sandbox.ts';
import { forkGateway } from './gateway.ts';
import { at, until } from './subscribers.ts';

// 200 account aggregations run inside upstream's real limit. 1,000 subscribers follow the tasks
// without their aggregations; then 50 more select them, 40 of one task each and 10 of all; then all
// tasks end.
const TASKS = 200;
const PLAIN = 1_000;
const SELECTING_TASKS = 40;
const SELECTING_LISTS = 10;
const RUN_MS = 180_000;
const SPREAD_MS = 60_000;
const PLAIN_FOR_MS = 40_000;
const SELECTED_FOR_MS = 60_000;
const INTERVAL_MS = 1_000;

const FIELDS = 'id state effectivePercentComplete';
const AGGREGATION = 'accountAggregation { status percentComplete }';
const ONE = `subscription ($id: ID!) { taskProgress(id: $id) { ${FIELDS} } }`;
const ONE_SELECTING = `subscription ($id: ID!) { taskProgress(id: $id) { ${FIELDS} ${AGGREGATION} } }`;
const ALL_SELECTING = `subscription { taskStatusChanged(snapshot: true) { taskStatus { ${FIELDS} ${AGGREGATION} } } }`;

interface Subscriber {
  query: string;
  id?: string;
}

/** What the subscribers of one kind received. */
class Received {
  events = 0;
  errors = 0;
  falls = 0;
  /** Moments at which ends arrived. */
  endedAt: number[] = [];
  readonly percentages = new Map<string, number>();

  add(subscriber: string, { data, errors }: any): void {
    this.events++;
    if (errors) this.errors++;
    const task = data?.taskProgress ?? data?.taskStatusChanged?.taskStatus;
    if (!task) return;
    const key = `${subscriber} ${task.id}`;
    if (task.effectivePercentComplete < (this.percentages.get(key) ?? 0)) this.falls++;
    this.percentages.set(key, task.effectivePercentComplete);
    if (task.state === 'COMPLETED') this.endedAt.push(performance.now());
  }
}

const sandbox = await startSandbox({ tasks: 0, newTaskEveryMs: null, oddities: false });
const { journal } = sandbox;
const ids = Array.from({ length: TASKS }, (_, place) =>
  sandbox.tenant.addTask({
    definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
    queueMs: 0,
    runMs: RUN_MS + (SPREAD_MS * place) / TASKS,
    steps: 1,
    reportsPercent: false,
    status: 'SUCCESS',
    totals: { total: 60_000, created: 20_000, updated: 15_000, deleted: 5_000 },
  }),
);
const gateway = await forkGateway(sandbox, {
  PROGRESS_INTERVAL_MS: String(INTERVAL_MS),
  MAX_SUBSCRIPTIONS_PER_CONNECTION: '1000',
});
const plain = new Received();
const selecting = new Received();
const sockets = [
  await open(
    Array.from({ length: PLAIN }, (_, place) => ({ query: ONE, id: ids[place % TASKS]! })),
    plain,
  ),
];
await until(() => plain.events >= PLAIN);
const rows = [await measure('not selected', PLAIN_FOR_MS)];

sockets.push(
  await open(
    [
      ...ids.slice(0, SELECTING_TASKS).map(id => ({ query: ONE_SELECTING, id })),
      ...Array.from({ length: SELECTING_LISTS }, () => ({ query: ALL_SELECTING })),
    ],
    selecting,
  ),
);
await until(() => selecting.percentages.size >= SELECTING_TASKS + SELECTING_LISTS * TASKS);
rows.push(await measure('selected by 50', SELECTED_FOR_MS));

journal.clear();
const plainBefore = plain.events;
const selectingBefore = selecting.events;
const endedAt = performance.now();
for (const id of ids) sandbox.tenant.finish(id);
const ends = SELECTING_TASKS + SELECTING_LISTS * TASKS;
await until(() => plain.endedAt.length >= PLAIN && selecting.endedAt.length >= ends);
await wait(3_000);
console.table(rows);
console.table([
  endsOf('not selecting', plain, PLAIN, plainBefore),
  endsOf('selecting', selecting, ends, selectingBefore),
]);
for (const socket of sockets) socket.terminate();
await gateway.close();
await sandbox.close();

async function measure(what: string, forMs: number) {
  journal.clear();
  const events = selecting.events;
  const before = await gateway.usage();
  await wait(forMs);
  const after = await gateway.usage();
  const isAggregation = ({ path }: { path: string }) => path.includes('account-aggregations');
  const aggregations = journal.requests.filter(isAggregation);
  const polls = journal.requests.length - aggregations.length;
  const readAt = new Map<string, number[]>();
  for (const { path, at: moment } of aggregations)
    readAt.set(path, [...(readAt.get(path) ?? []), moment]);
  const gaps = [...readAt.values()].flatMap(moments =>
    moments.slice(1).map((moment, place) => moment - moments[place]!),
  );
  const perInterval = (count: number) => Math.round((count * INTERVAL_MS * 10) / forMs) / 10;
  return {
    aggregations: what,
    'requests a second, polls of tasks': perInterval(polls),
    'of aggregations': perInterval(aggregations.length),
    'most in any 10 s': journal.worstWindow(10_000),
    'seconds between two reads of one, p50': Math.round(at(gaps, 0.5) / 100) / 10,
    longest: Math.round(at(gaps, 1) / 100) / 10,
    'aggregations read': readAt.size,
    'events to selecting': selecting.events - events,
    'CPU %': Math.round((100 * (after.cpuSeconds - before.cpuSeconds) * 1_000) / forMs),
  };
}

function endsOf(who: string, received: Received, expected: number, eventsBefore: number) {
  const delays = received.endedAt.map(moment => moment - endedAt);
  return {
    subscribers: who,
    'ends lost': expected - received.endedAt.length,
    'p50 ms': at(delays, 0.5),
    'p99 ms': at(delays, 0.99),
    'longest ms': at(delays, 1),
    'events before': eventsBefore,
    events: received.events - eventsBefore,
    'percentages that fell': received.falls,
    errors: received.errors,
    'most in any 10 s': journal.worstWindow(10_000),
  };
}

async function open(subscribers: readonly Subscriber[], received: Received): Promise<WebSocket> {
  const socket = new WebSocket(gateway.url.replace('http', 'ws'), 'graphql-transport-ws');
  const opened = performance.now();
  await new Promise(resolve => socket.once('open', resolve));
  socket.on('message', (data: Buffer) => {
    const message = JSON.parse(data.toString());
    if (message.type === 'next') received.add(`${opened} ${message.id}`, message.payload);
    if (message.type === 'error') received.errors++;
    if (message.type === 'ping') socket.send('{"type":"pong"}');
    if (message.type !== 'connection_ack') return;
    for (const [place, { query, id }] of subscribers.entries())
      socket.send(
        JSON.stringify({
          id: String(place),
          type: 'subscribe',
          payload: { query, variables: { id } },
        }),
      );
  });
  socket.send('{"type":"connection_init"}');
  return socket;
}
