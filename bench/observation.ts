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
 * machine does slows all of them. Of processes that do the same, the garbage collector takes three
 * times as long in one as in another, depending on what is under way when it begins. So it works on
 * one thread, within a young generation of fixed size, and its time is counted apart; and there are
 * several processes of each kind.
 */
const TASKS = 1_000;
const GROUPS = 3;
const FLAGS = ['--single-threaded-gc', '--min-semi-space-size=16', '--max-semi-space-size=16'];
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
    turn: { connections: 200, duration: 4, overallRate: 1_000 },
    turns: 3,
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

/** Microseconds of processor time a read. */
interface Cost {
  ofProgram: number;
  ofCollector: number;
}

interface Measurement extends Cost {
  /** How many times that of the gateway with none, in the same turn, without the collector. */
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
        'a read (µs)': round(median(turns.map(({ ofProgram }) => ofProgram))),
        'more than none (%)': round(median(ratios)),
        'quartiles (%)': `${round(quantile(ratios, 0.25))} – ${round(quantile(ratios, 0.75))}`,
        'collector (µs)': round(median(turns.map(({ ofCollector }) => ofCollector))),
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
      FLAGS,
    );
    gateways.set(name, gateway);
    await readTasks(gateway.url, ids, warmUp);
  }
  for (let index = 0; index < turns; index++) {
    // The one that goes first may be at a disadvantage, so they take turns at that too.
    const order = [...NAMES.slice(index % NAMES.length), ...NAMES.slice(0, index % NAMES.length)];
    const costs = new Map<Kind, Cost>();
    for (const name of order) {
      const gateway = gateways.get(name);
      if (gateway !== undefined) costs.set(name, await measure(gateway, turn));
    }
    const least = costs.get('none')?.ofProgram ?? Number.NaN;
    for (const [name, cost] of costs)
      measured.get(name)?.push({ ...cost, ratio: cost.ofProgram / least });
  }
  for (const [name, gateway] of gateways) {
    memory.get(name)?.push(await gateway.usage());
    await gateway.close();
  }
}

/** The cost of a read in one turn, with one scrape. */
async function measure(gateway: GatewayProcess, turn: Load['turn']): Promise<Cost> {
  const before = await gateway.processorTime();
  const scrape = fetch(new URL('/metrics', gateway.url)).then(response => response.text());
  const [read] = await Promise.all([readTasks(gateway.url, ids, turn), scrape]);
  const after = await gateway.processorTime();
  const micros = 1e6 / read['2xx'];
  const ofCollector = ((after.collectionSeconds ?? 0) - (before.collectionSeconds ?? 0)) * micros;
  return { ofCollector, ofProgram: (after.cpuSeconds - before.cpuSeconds) * micros - ofCollector };
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
