import autocannon from 'autocannon';
import { type GatewayProcess, type Usage, forkGateway } from './gateway.ts';
import { startTenant } from './tenant.ts';

/*
 * What logs and metrics cost: the same reads with both, with one of them and with neither.
 *
 * Gateways of all kinds run at the same time and are read in turns, so that whatever else the machine does slows all of
 * them. The garbage collector of one process may take a quarter more than that of another that does the same, so there
 * are several processes of each kind.
 */
const TASKS = 1_000;
const GROUPS = 3;
const TURNS = 3;
const READS = 1_000;
const WARM_UP = 2_500;
const QUERY = 'query Read($id: ID!) { taskStatus(id: $id) { id state percentComplete } }';
const KINDS = {
  'log and metrics': { LOG_LEVEL: 'info', BENCH_METRICS: 'true' },
  'log alone': { LOG_LEVEL: 'info', BENCH_METRICS: 'false' },
  'metrics alone': { LOG_LEVEL: 'silent', BENCH_METRICS: 'true' },
  neither: { LOG_LEVEL: 'silent', BENCH_METRICS: 'false' },
};
type Kind = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as Kind[];

interface Measurement {
  /** Microseconds of CPU a read. */
  cpu: number;
  /** How many times those of the gateway with neither, in the same turn. */
  ratio: number;
}

const { sandbox, ids } = await startTenant(TASKS, { rateLimit: Infinity });
for (const stalenessMs of [60_000, 0]) {
  const measured = new Map(NAMES.map(name => [name, [] as Measurement[]]));
  const memory = new Map(NAMES.map(name => [name, [] as Usage[]]));
  for (let group = 0; group < GROUPS; group++) await measureGroup(stalenessMs, measured, memory);
  const rows = [];
  for (const [kind, turns] of measured) {
    const ratios = turns.map(({ ratio }) => 100 * (ratio - 1));
    const usages = memory.get(kind) ?? [];
    rows.push({
      MAX_STALENESS_MS: stalenessMs,
      kind,
      'CPU a read (µs)': round(median(turns.map(({ cpu }) => cpu))),
      'more than neither (%)': round(median(ratios)),
      'quartiles (%)': `${round(quantile(ratios, 0.25))} – ${round(quantile(ratios, 0.75))}`,
      'RSS (MB)': round(median(usages.map(({ rssMb }) => rssMb))),
      'heap (MB)': round(median(usages.map(({ heapMb }) => heapMb))),
    });
  }
  console.table(rows);
}
await sandbox.close();

/** Measures one gateway of each kind, in turns. */
async function measureGroup(
  stalenessMs: number,
  measured: Map<Kind, Measurement[]>,
  memory: Map<Kind, Usage[]>,
): Promise<void> {
  const gateways = new Map<Kind, GatewayProcess>();
  for (const name of NAMES) {
    const env = {
      ...KINDS[name],
      MAX_STALENESS_MS: String(stalenessMs),
      UPSTREAM_RATE_LIMIT: '1000000',
    };
    const gateway = await forkGateway(sandbox, env, 'observation-gateway.js');
    gateways.set(name, gateway);
    await load(gateway, WARM_UP);
  }
  for (let turn = 0; turn < TURNS; turn++) {
    // The one that goes first may be at a disadvantage, so they take turns at that too.
    const order = [...NAMES.slice(turn % NAMES.length), ...NAMES.slice(0, turn % NAMES.length)];
    const cpu = new Map<Kind, number>();
    for (const name of order) {
      const gateway = gateways.get(name);
      if (gateway !== undefined) cpu.set(name, await measure(gateway));
    }
    for (const [name, micros] of cpu)
      measured.get(name)?.push({ cpu: micros, ratio: micros / (cpu.get('neither') ?? Number.NaN) });
  }
  for (const [name, gateway] of gateways) {
    memory.get(name)?.push(await gateway.usage());
    await gateway.close();
  }
}

/** Microseconds of CPU a read, with one scrape: a turn takes about a second. */
async function measure(gateway: GatewayProcess): Promise<number> {
  const before = await gateway.cpuSeconds();
  const scrape = fetch(new URL('/metrics', gateway.url)).then(response => response.text());
  await Promise.all([load(gateway, READS), scrape]);
  return ((await gateway.cpuSeconds()) - before) * (1e6 / READS);
}

async function load(gateway: GatewayProcess, amount: number): Promise<void> {
  let asked = 0;
  await autocannon({
    url: gateway.url,
    connections: 64,
    amount,
    requests: [
      {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        setupRequest: request => ({
          ...request,
          body: JSON.stringify({ query: QUERY, variables: { id: ids[asked++ % TASKS] } }),
        }),
      },
    ],
  });
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
