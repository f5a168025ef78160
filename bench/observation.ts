import { setTimeout as wait } from 'node:timers/promises';
import { type GatewayProcess, forkGateway } from './gateway.ts';
import { readTasks } from './task-reads.ts';
import { startTenant } from './tenant.ts';

/*
 * What logs and metrics cost: the same reads with both, with one of them and with neither.
 *
 * Processes that do the same differ by half in what they take, in the garbage collector and
 * elsewhere. So one process is measured, whose log and metrics are turned on and off, for two
 * seconds each, in turns.
 */
const TASKS = 1_000;
const ROUNDS = 40;
const WARM_UP_MS = 10_000;
const TURN_MS = 1_000;
const KINDS = {
  'log and metrics': { log: true, metrics: true },
  'log alone': { log: true, metrics: false },
  neither: { log: false, metrics: false },
};
type Kind = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as Kind[];

interface Load {
  name: string;
  env: Record<string, string>;
  stalenessMs: readonly number[];
  options: Parameters<typeof readTasks>[2];
}

const LOADS: readonly Load[] = [
  {
    // That of bench/reads.ts, within upstream's limit.
    name: '1,000 reads a second',
    env: {},
    stalenessMs: [1_000, 0],
    options: { connections: 200, overallRate: 1_000 },
  },
  {
    name: '64 reads at a time',
    env: { UPSTREAM_RATE_LIMIT: '1000000' },
    stalenessMs: [60_000, 0],
    options: { connections: 64 },
  },
];

const { sandbox, ids } = await startTenant(TASKS, { rateLimit: Infinity });
for (const { name: load, env, stalenessMs, options } of LOADS)
  for (const staleness of stalenessMs) {
    const gateway = await forkGateway(
      sandbox,
      { ...env, MAX_STALENESS_MS: String(staleness) },
      'observation-gateway.js',
    );
    const duration = (WARM_UP_MS + ROUNDS * NAMES.length * TURN_MS) / 1000 + 1;
    const reading = readTasks(gateway.url, ids, { ...options, duration });
    await wait(WARM_UP_MS);
    const measured = await measureInTurns(gateway);
    await reading;
    await gateway.close();
    console.table(
      NAMES.map(kind => {
        const more = measured[kind].map(
          (micros, round) => 100 * (micros / (measured.neither[round] ?? Number.NaN) - 1),
        );
        return {
          load,
          MAX_STALENESS_MS: staleness,
          kind,
          'CPU a read (µs)': toTenths(median(measured[kind])),
          'more than neither (%)': toTenths(median(more)),
          'quartiles (%)': `${toTenths(quantile(more, 0.25))} – ${toTenths(quantile(more, 0.75))}`,
        };
      }),
    );
  }
await sandbox.close();

/** Microseconds of processor time a read, by kind and round. */
async function measureInTurns(gateway: GatewayProcess): Promise<Record<Kind, number[]>> {
  const measured: Record<Kind, number[]> = { 'log and metrics': [], 'log alone': [], neither: [] };
  for (let round = 0; round < ROUNDS; round++) {
    // What comes first may be at a disadvantage, so they take turns at that too.
    const first = round % NAMES.length;
    for (const kind of [...NAMES.slice(first), ...NAMES.slice(0, first)]) {
      gateway.send({ observe: KINDS[kind] });
      const before = await gateway.processorTime();
      await wait(TURN_MS);
      const after = await gateway.processorTime();
      const reads = (after.requests ?? 0) - (before.requests ?? 0);
      measured[kind].push(((after.cpuSeconds - before.cpuSeconds) * 1e6) / reads);
    }
  }
  return measured;
}

function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length * part)] ?? Number.NaN;
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function toTenths(value: number): number {
  return Math.round(value * 10) / 10;
}
