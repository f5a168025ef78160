import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { installPeers } from './peers/install.ts';
import { load } from './peers/load.ts';
import { type ServerProcess, type Usage, forkGateway, forkServer } from './peers/server-process.ts';
import { type Workload, createWorkloads } from './peers/workloads.ts';

/*
 * Measures the memory of the gateway and of a server with Yoga and DataLoader under load. One
 * process after another serves all workloads in turn, by 64 connections, over one fixed upstream.
 *
 * npm run bench:memory builds, and measures npm run bench:memory -- --rounds 5 more processes of
 * each server than 3 npm run bench:memory -- --workload aliases workloads with this in their names
 */

const { values } = parseArgs({
  options: {
    workload: { type: 'string', default: '' },
    rounds: { type: 'string', default: '3' },
  },
});
const ROUNDS = Number(values.rounds);
const CONNECTIONS = 64;
const OPERATIONS = 40;
const WARM_UP_MS = 2_000;
const FOR_MS = 2_000;
const SAMPLE_EVERY_MS = 100;
const DIST = join(import.meta.dirname, '../dist');

interface Sample extends Pick<Usage, 'rssMb' | 'heapMb'> {
  server: string;
  workload: string;
  round: number;
  /** Processor milliseconds per operation. */
  cpuMs: number;
}

installPeers();
const { IDS } = (await import(new URL('peers/servers/rows.js', import.meta.url).href)) as {
  IDS: string[];
};
const token = ['{"alg":"none"}', '{"client_id":"bench"}', 'signature']
  .map(part => Buffer.from(part).toString('base64url'))
  .join('.');
const workloads = createWorkloads(IDS).filter(({ name }) => name.includes(values.workload));
const upstream = await forkServer('upstream');
// Yoga comes first: the others are compared with it.
const SERVERS: Readonly<Record<string, () => Promise<ServerProcess>>> = {
  'Yoga + DataLoader': () => forkServer('yoga', upstream.url),
  'gateway, memory off': () => forkGateway(DIST, upstream.url, { MAX_STALENESS_MS: '0' }),
  'gateway, as shipped': () => forkGateway(DIST, upstream.url),
};
const [YOGA = ''] = Object.keys(SERVERS);

const samples: Sample[] = [];
for (let round = 0; round < ROUNDS; round++)
  for (const [name, fork] of Object.entries(SERVERS)) {
    const server = await fork();
    for (const workload of workloads)
      samples.push({
        server: name,
        workload: workload.name,
        round,
        ...(await measure(server, workload)),
      });
    await server.close();
  }
await upstream.close();
process.stdout.write(toMarkdown());

/**
 * The medians of samples that are taken while the workload runs, after the server has become warm.
 */
async function measure(
  server: ServerProcess,
  { operation, warmUp }: Workload,
): Promise<Pick<Sample, 'rssMb' | 'heapMb' | 'cpuMs'>> {
  const bodies = Array.from({ length: OPERATIONS }, (_, number) =>
    JSON.stringify(operation(number)),
  );
  const common = { connections: CONNECTIONS, token };
  await load(server.url, bodies, { ...common, forMs: WARM_UP_MS, operations: warmUp });
  const before = await server.usage();
  const usages: Usage[] = [];
  const over = new AbortController();
  const loaded = load(server.url, bodies, { ...common, forMs: FOR_MS }).finally(() => over.abort());
  while (!over.signal.aborted) {
    await wait(SAMPLE_EVERY_MS);
    usages.push(await server.usage());
  }
  const { answered } = await loaded;
  const { cpuMs } = await server.usage();
  return {
    rssMb: median(usages.map(({ rssMb }) => rssMb)),
    heapMb: median(usages.map(({ heapMb }) => heapMb)),
    cpuMs: (cpuMs - before.cpuMs) / answered,
  };
}

function toMarkdown(): string {
  const tables = workloads.map(({ name }) => {
    const rows = Object.keys(SERVERS).map(server => {
      const cells = (['rssMb', 'heapMb', 'cpuMs'] as const).flatMap(figure => {
        const [own, yogas] = [server, YOGA].map(of =>
          samples
            .filter(sample => sample.server === of && sample.workload === name)
            .map(sample => sample[figure]),
        ) as [number[], number[]];
        const ratios = own.map((value, round) => value / yogas[round]!);
        const digits = figure === 'cpuMs' ? 2 : 0;
        const [least, most] = [Math.min(...ratios), Math.max(...ratios)];
        return [
          median(own).toFixed(digits),
          `${median(ratios).toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`,
        ];
      });
      return `| ${[server, ...cells].join(' | ')} |`;
    });
    return `### ${name}

| server | RSS, MB | of Yoga's | heap, MB | of Yoga's | CPU, ms | of Yoga's |
| --- | --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
  });
  return tables.join('\n');
}

function median(of: readonly number[]): number {
  return of.toSorted((a, b) => a - b)[Math.floor((of.length - 1) / 2)]!;
}
