import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { type GatewayProcess, forkGateway } from './gateway.ts';
import { readTasks } from './task-reads.ts';
import { startTenant } from './tenant.ts';

/*
 * What logs, metrics and traces cost, in two ways.
 *
 * Turns: the same reads with log and metrics, and with neither. Processes that do the same differ by
 * half in what they take, in the garbage collector and elsewhere. So one process is measured, whose
 * log and metrics are turned on and off.
 *
 * Profile: the part of the main thread's time that is spent in the log, the metrics and the traces.
 * It does not depend on what else the machine does, but leaves out what they cost the collector.
 */
const PROGRAM = 'observation-gateway.js';
const TASKS = 1_000;
const ROUNDS = 25;
const WARM_UP_MS = 10_000;
const TURN_MS = 2_000;
const PROFILE_MS = 15_000;
const KINDS = {
  both: { log: true, metrics: true },
  neither: { log: false, metrics: false },
};
type Kind = keyof typeof KINDS;
const NAMES = Object.keys(KINDS) as Kind[];

/** Percent of the main thread's busy time. */
interface Shares {
  log: number;
  metrics: number;
  traces: number;
}

interface Load {
  name: string;
  env: Record<string, string>;
  stalenessMs: readonly number[];
  options: Parameters<typeof readTasks>[2];
}

// That of bench/reads.ts, within upstream's limit.
const PACED: Load = {
  name: '1,000 reads a second',
  env: {},
  stalenessMs: [1_000, 0],
  options: { connections: 200, overallRate: 1_000 },
};
const BUSY: Load = {
  name: '64 reads at a time',
  env: { UPSTREAM_RATE_LIMIT: '1000000' },
  stalenessMs: [60_000, 0],
  options: { connections: 64 },
};

const { sandbox, ids } = await startTenant(TASKS, { rateLimit: Infinity });
const collector = await startCollector();

for (const load of [PACED, BUSY]) {
  const rows = [];
  for (const stalenessMs of load.stalenessMs) rows.push(await measure(load, stalenessMs));
  console.table(rows);
}

const traced = [];
for (const part of [1, 0.01])
  for (const stalenessMs of PACED.stalenessMs) traced.push(await profileTraced(part, stalenessMs));
console.table(traced);

console.table([await measureMemory('both'), await measureMemory('nothing')]);

await sandbox.close();
collector.close();

async function measure({ name, env, options }: Load, stalenessMs: number) {
  const turns = ROUNDS * NAMES.length * TURN_MS;
  const seconds = (WARM_UP_MS + turns + PROFILE_MS) / 1000 + 1;
  return underLoad(env, stalenessMs, { ...options, duration: seconds }, async gateway => {
    const micros = await measureInTurns(gateway);
    await gateway.ask({ observe: KINDS.both });
    const shares = await gateway.ask<Shares>({ profileMs: PROFILE_MS });
    const more = micros.both.map(
      (both, round) => 100 * (both / (micros.neither[round] ?? Number.NaN) - 1),
    );
    return {
      load: name,
      MAX_STALENESS_MS: stalenessMs,
      'both (µs a read)': toTenths(median(micros.both)),
      'neither (µs)': toTenths(median(micros.neither)),
      'more (%)': toTenths(median(more)),
      'quartiles (%)': `${toTenths(quantile(more, 0.25))} – ${toTenths(quantile(more, 0.75))}`,
      'log in a profile (%)': toTenths(shares.log),
      'metrics (%)': toTenths(shares.metrics),
    };
  });
}

/** `part`: of the operations that are traced. */
async function profileTraced(part: number, stalenessMs: number) {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: String(part),
  };
  const duration = (WARM_UP_MS + PROFILE_MS) / 1000 + 1;
  const options = { ...PACED.options, duration };
  return underLoad(env, stalenessMs, options, async gateway => {
    const shares = await gateway.ask<Shares>({ profileMs: PROFILE_MS });
    return {
      load: PACED.name,
      MAX_STALENESS_MS: stalenessMs,
      'operations that are traced (%)': 100 * part,
      'log in a profile (%)': toTenths(shares.log),
      'metrics (%)': toTenths(shares.metrics),
      'traces (%)': toTenths(shares.traces),
    };
  });
}

/** What a process holds after a load. */
async function measureMemory(observe: 'both' | 'nothing') {
  const gateway = await forkGateway(sandbox, { ...BUSY.env, OBSERVE: observe }, PROGRAM);
  await readTasks(gateway.url, ids, { ...BUSY.options, duration: WARM_UP_MS / 1000 });
  const { heapMb, rssMb } = await gateway.usage();
  await gateway.close();
  return {
    'log and metrics': observe,
    'heap (MB)': toTenths(heapMb),
    'RSS (MB)': Math.round(rssMb),
  };
}

/** Runs `run` over a gateway that is warm, and under a load until it is done. */
async function underLoad<T>(
  env: Record<string, string>,
  stalenessMs: number,
  options: Load['options'],
  run: (gateway: GatewayProcess) => Promise<T>,
): Promise<T> {
  const settings = { ...env, MAX_STALENESS_MS: String(stalenessMs) };
  const gateway = await forkGateway(sandbox, settings, PROGRAM);
  const reading = readTasks(gateway.url, ids, options);
  await wait(WARM_UP_MS);
  const result = await run(gateway);
  await reading;
  await gateway.close();
  return result;
}

/** Microseconds of processor time a read, by kind and round. */
async function measureInTurns(gateway: GatewayProcess): Promise<Record<Kind, number[]>> {
  const measured: Record<Kind, number[]> = { both: [], neither: [] };
  for (let round = 0; round < ROUNDS; round++)
    // What comes first may be at a disadvantage, so they take turns at that too.
    for (const kind of round % 2 === 0 ? NAMES : NAMES.toReversed()) {
      await gateway.ask({ observe: KINDS[kind] });
      const before = await gateway.processorTime();
      await wait(TURN_MS);
      const after = await gateway.processorTime();
      const reads = (after.requests ?? 0) - (before.requests ?? 0);
      measured[kind].push(((after.cpuSeconds - before.cpuSeconds) * 1e6) / reads);
    }
  return measured;
}

/** Takes spans, and throws them away. */
async function startCollector() {
  const server = createServer((request, response) => {
    request.resume().once('end', () => response.end('{}'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
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
