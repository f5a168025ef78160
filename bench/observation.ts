import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type GatewayProcess, type Usage, forkGateway } from './gateway.ts';
import { readTasks } from './task-reads.ts';
import { startTenant } from './tenant.ts';

/*
 * What logs, metrics and traces cost: the same reads with all of them, with some and with none.
 *
 * Gateways of all kinds run at the same time and are read in turns, so that whatever else the
 * machine does slows all of them. The garbage collector of one process may take a quarter more than
 * that of another that does the same, so there are several processes of each kind.
 */
const TASKS = 1_000;
const GROUPS = 2;
const collector = await startCollector();
const KINDS = {
  'log, metrics and traces': {
    LOG_LEVEL: 'info',
    BENCH_METRICS: 'true',
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
  },
  'log and metrics': { LOG_LEVEL: 'info', BENCH_METRICS: 'true' },
  'log alone': { LOG_LEVEL: 'info', BENCH_METRICS: 'false' },
  'metrics alone': { LOG_LEVEL: 'silent', BENCH_METRICS: 'true' },
  none: { LOG_LEVEL: 'silent', BENCH_METRICS: 'false' },
};
type Kind = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as Kind[];

interface Load {
  name: string;
  env: Record<string, string>;
  stalenessMs: readonly number[];
  warmUp: Parameters<typeof readTasks>[2];
  turn: Parameters<typeof readTasks>[2];
  turns: number;
}

const LOADS: readonly Load[] = [
  {
    // That of bench/reads.ts, within upstream's limit.
    name: '1,000 reads a second',
    env: {},
    stalenessMs: [1_000, 0],
    warmUp: { connections: 200, duration: 5, overallRate: 1_000 },
    turn: { connections: 200, duration: 5, overallRate: 1_000 },
    turns: 5,
  },
  {
    name: '64 reads at a time',
    env: { UPSTREAM_RATE_LIMIT: '1000000' },
    stalenessMs: [60_000, 0],
    warmUp: { connections: 64, amount: 2_500 },
    turn: { connections: 64, amount: 1_000 },
    turns: 5,
  },
];

interface Measurement {
  /** Microseconds of processor time a read. */
  cpu: number;
  /** How many times those of the gateway with none, in the same turn. */
  ratio: number;
}

const { sandbox, ids } = await startTenant(TASKS, { rateLimit: Infinity });
for (const load of LOADS)
  for (const stalenessMs of load.stalenessMs) {
    const measured = new Map(NAMES.map(name => [name, [] as Measurement[]]));
    const memory = new Map(NAMES.map(name => [name, [] as Usage[]]));
    for (let group = 0; group < GROUPS; group++)
      await measureGroup(load, stalenessMs, measured, memory);
    const rows = [];
    for (const [kind, turns] of measured) {
      const ratios = turns.map(({ ratio }) => 100 * (ratio - 1));
      const usages = memory.get(kind) ?? [];
      rows.push({
        load: load.name,
        MAX_STALENESS_MS: stalenessMs,
        kind,
        'CPU a read (µs)': round(median(turns.map(({ cpu }) => cpu))),
        'more than none (%)': round(median(ratios)),
        'quartiles (%)': `${round(quantile(ratios, 0.25))} – ${round(quantile(ratios, 0.75))}`,
        'RSS (MB)': round(median(usages.map(({ rssMb }) => rssMb))),
        'heap (MB)': round(median(usages.map(({ heapMb }) => heapMb))),
      });
    }
    console.table(rows);
  }
await sandbox.close();
collector.close();

/** A collector of traces that throws them away. */
async function startCollector() {
  const server = createServer((request, response) => {
    request
      .resume()
      .once('end', () => response.setHeader('content-type', 'application/json').end('{}'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}

/** Measures one gateway of each kind, in turns. */
async function measureGroup(
  { env, warmUp, turn, turns }: Load,
  stalenessMs: number,
  measured: Map<Kind, Measurement[]>,
  memory: Map<Kind, Usage[]>,
): Promise<void> {
  const gateways = new Map<Kind, GatewayProcess>();
  for (const name of NAMES) {
    const gateway = await forkGateway(
      sandbox,
      { ...env, ...KINDS[name], MAX_STALENESS_MS: String(stalenessMs) },
      'observation-gateway.js',
    );
    gateways.set(name, gateway);
    await readTasks(gateway.url, ids, warmUp);
  }
  for (let index = 0; index < turns; index++) {
    // The one that goes first may be at a disadvantage, so they take turns at that too.
    const order = [...NAMES.slice(index % NAMES.length), ...NAMES.slice(0, index % NAMES.length)];
    const cpu = new Map<Kind, number>();
    for (const name of order) {
      const gateway = gateways.get(name);
      if (gateway !== undefined) cpu.set(name, await measure(gateway, turn));
    }
    for (const [name, micros] of cpu)
      measured.get(name)?.push({ cpu: micros, ratio: micros / (cpu.get('none') ?? Number.NaN) });
  }
  for (const [name, gateway] of gateways) {
    memory.get(name)?.push(await gateway.usage());
    await gateway.close();
  }
}

/** Microseconds of processor time a read, with one scrape. */
async function measure(gateway: GatewayProcess, turn: Load['turn']): Promise<number> {
  const before = await gateway.cpuSeconds();
  const scrape = fetch(new URL('/metrics', gateway.url)).then(response => response.text());
  const [read] = await Promise.all([readTasks(gateway.url, ids, turn), scrape]);
  return ((await gateway.cpuSeconds()) - before) * (1e6 / read['2xx']);
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
