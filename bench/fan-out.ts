import { fork } from 'node:child_process';
import { once } from 'node:events';
import { forkGateway } from './gateway.ts';
import { startTenant } from './tenant.ts';

// What a delivery and an idle subscriber cost, beside a bare server that sends the same bytes to as
// many subscribers. Each subscriber has a connection of its own. Events alternate between the two
// servers. Those of the gateway come out of polls of its upstream, whose cost is part of the
// delivery's.
const SUBSCRIBERS = 5_000;
const TASKS = 10;
const TURNS = 5;
const ROUNDS_PER_TURN = 6;
const WARM_UP = 500;

const rows = [];
for (const transport of (process.env['T']?.split(',') ?? ['ws', 'sse']) as ('ws' | 'sse')[])
  rows.push(await measure(transport));
console.table(rows);

async function measure(transport: 'ws' | 'sse') {
  const { sandbox, ids } = await startTenant(TASKS, { rateLimit: Infinity });
  const gateway = await forkGateway(
    sandbox,
    {
      PROGRESS_INTERVAL_MS: '200',
      UPSTREAM_RATE_LIMIT: '100000',
      MAX_CONNECTIONS: String(2 * SUBSCRIBERS),
      MAX_CONNECTIONS_PER_ADDRESS: String(2 * SUBSCRIBERS),
    },
    'fan-out-gateway.js',
  );
  const bare = await forkPart('fan-out-bare.ts', true);
  const { url: bareUrl } = await bare.next<{ url: string }>();
  const ofGateway = await forkPart('fan-out-load.ts');
  const ofBare = await forkPart('fan-out-load.ts');
  const bareUsage = (what: 'cpu' | 'usage') => bare.ask<BareUsage>(what);
  let sample = '';
  let expected = 0;
  let bareExpected = 0;

  // Code that subscriptions and events need is loaded and compiled before memory is measured.
  await openAll(WARM_UP);
  await deliverGateway(WARM_UP);
  await deliverBare(WARM_UP);
  await Promise.all([ofGateway.ask({ close: true }), ofBare.ask({ close: true })]);
  await untilBareHas(0);
  const before = [await gateway.usage(), await bareUsage('usage')] as const;

  await openAll(SUBSCRIBERS);
  const idle = [await gateway.usage(), await bareUsage('usage')] as const;
  await deliverGateway(SUBSCRIBERS);
  await deliverBare(SUBSCRIBERS);

  const cpu: [number[], number[]] = [[], []];
  for (let turn = 0; turn < TURNS; turn++) {
    const first = await gateway.cpuSeconds();
    for (let round = 0; round < ROUNDS_PER_TURN; round++) await deliverGateway(SUBSCRIBERS);
    cpu[0].push((await gateway.cpuSeconds()) - first);
    const bareFirst = (await bareUsage('cpu')).cpuSeconds;
    for (let round = 0; round < ROUNDS_PER_TURN; round++) await deliverBare(SUBSCRIBERS);
    cpu[1].push((await bareUsage('cpu')).cpuSeconds - bareFirst);
  }
  const [ours, floor] = cpu.map(
    seconds => (1e6 * median(seconds)) / (ROUNDS_PER_TURN * SUBSCRIBERS),
  ) as [number, number];
  const [ourKb, floorKb] = [0, 1].map(
    place => ((idle[place]!.rssMb - before[place]!.rssMb) * 1024) / SUBSCRIBERS,
  ) as [number, number];
  await gateway.close();
  for (const part of [bare, ofGateway, ofBare]) await part.close();
  await sandbox.close();
  return {
    transport,
    subscribers: SUBSCRIBERS,
    'bytes a delivery': sample.length,
    'CPU a delivery, µs': round1(ours),
    'bare, µs': round1(floor),
    'deliveries a core second, of the bare': round2(floor / ours),
    'RSS KB an idle subscriber': round1(ourKb),
    'bare, KB': round1(floorKb),
    'RSS, times the bare': round2(ourKb / floorKb),
  };

  /** The gateway sends each subscriber the current state; the bare server sends nothing. */
  async function openAll(subscribers: number): Promise<void> {
    const open = { open: transport, ids, subscribers };
    await ofGateway.ask({ ...open, url: gateway.url });
    expected = subscribers;
    ({ sample } = await ofGateway.ask<{ sample: string }>({ await: expected }));
    await ofBare.ask({ ...open, url: bareUrl });
    bareExpected = 0;
    await untilBareHas(subscribers);
  }

  /** Changes all tasks, and waits until every subscriber was sent the change. */
  async function deliverGateway(subscribers: number): Promise<void> {
    for (const id of ids) sandbox.tenant.correct(id, { completedAt: Date.now() + expected });
    expected += subscribers;
    const { events } = await ofGateway.ask<{ events: number }>({ await: expected });
    if (events !== expected) throw new Error(`${events} events arrived instead of ${expected}.`);
  }

  async function deliverBare(subscribers: number): Promise<void> {
    bareExpected += subscribers;
    const arrived = ofBare.ask({ await: bareExpected });
    bare.send({ publish: sample });
    await arrived;
  }

  async function untilBareHas(subscribers: number): Promise<void> {
    while ((await bareUsage('cpu')).subscribers !== subscribers)
      await new Promise(resolve => setTimeout(resolve, 20));
  }
}

interface BareUsage {
  rssMb: number;
  cpuSeconds: number;
  subscribers: number;
}

/** Starts a part of this bench in a process of its own. */
async function forkPart(file: string, exposesGc = false) {
  const child = fork(new URL(file, import.meta.url), {
    execArgv: [...(exposesGc ? ['--expose-gc'] : []), '--import', 'tsx'],
  });
  const next = async <T>() => ((await once(child, 'message')) as [T])[0];
  const part = {
    next,
    send: (message: object | string) => void child.send(message),
    async ask<T = unknown>(message: object | string): Promise<T> {
      const answer = next<T>();
      child.send(message);
      return answer;
    },
    async close() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
  await once(child, 'spawn');
  return part;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN;
}

function round1(value: number): number {
  return Math.round(value * 10) / 10;
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}
