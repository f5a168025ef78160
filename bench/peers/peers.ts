import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { installPeers } from './install.ts';
import { load } from './load.ts';
import { type Sample, summarize, toMarkdown } from './report.ts';
import { type ServerProcess, forkGateway, forkServer } from './server-process.ts';
import { type Operation, type Workload, createWorkloads } from './workloads.ts';

/*
 * Measures the gateway beside servers that a team would write instead, in turns, over one fixed
 * upstream.
 *
 * npm run bench:peers everything npm run bench:peers -- --short 64 connections, a few seconds each
 * npm run bench:peers -- --only gateway,floor some of the servers; the floor is always measured npm
 * run bench:peers -- --workload aliases workloads with this in their names npm run bench:peers --
 * --before ../old/dist another build of the gateway too npm run bench:peers -- --json results.json
 * the figures for programs too
 */

const { values } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    only: { type: 'string' },
    workload: { type: 'string', default: '' },
    connections: { type: 'string' },
    rounds: { type: 'string' },
    before: { type: 'string' },
    json: { type: 'string' },
  },
});

const MEMORY_OFF = { MAX_STALENESS_MS: '0' };
const DIST = join(import.meta.dirname, '../../dist');
// The floor comes first: the others are compared with it.
const SERVERS: { name: string; fork(upstream: string): Promise<ServerProcess> }[] = [
  { name: 'floor', fork: url => forkServer('floor', url) },
  { name: 'floor, a request per id', fork: url => forkServer('floor-by-id', url) },
  { name: 'gateway, memory off', fork: url => forkGateway(DIST, url, MEMORY_OFF) },
  { name: 'gateway, as shipped', fork: url => forkGateway(DIST, url) },
  { name: 'Yoga + DataLoader', fork: url => forkServer('yoga', url) },
  { name: 'Apollo Server + DataLoader', fork: url => forkServer('apollo', url) },
  { name: 'Mercurius + JIT', fork: url => forkServer('mercurius', url) },
];
if (values.before !== undefined) {
  const before = resolve(values.before);
  SERVERS.push(
    { name: 'gateway before, memory off', fork: url => forkGateway(before, url, MEMORY_OFF) },
    { name: 'gateway before, as shipped', fork: url => forkGateway(before, url) },
  );
}
const OPERATIONS = 40;
const FOR_MS = values.short ? 700 : 1_500;
const ROUNDS = Number(values.rounds ?? 3);
const CONNECTIONS = (values.connections ?? (values.short ? '64' : '1,16,64'))
  .split(',')
  .map(Number);

installPeers();
const { IDS } = (await import(new URL('servers/rows.js', import.meta.url).href)) as {
  IDS: string[];
};
const token = ['{"alg":"none"}', '{"client_id":"bench"}', 'signature']
  .map(part => Buffer.from(part).toString('base64url'))
  .join('.');
const wanted = SERVERS.filter(
  ({ name }, place) =>
    place === 0 || (values.only?.split(',').some(part => name.includes(part)) ?? true),
);
const workloads = createWorkloads(IDS).filter(({ name }) => name.includes(values.workload));
const upstream = await forkServer('upstream');
const servers: (ServerProcess & { name: string })[] = [];
for (const { name, fork } of wanted) servers.push({ ...(await fork(upstream.url)), name });

const samples: Sample[] = [];
for (const workload of workloads) {
  await checkEqual(workload);
  const bodies = Array.from({ length: OPERATIONS }, (_, number) =>
    JSON.stringify(workload.operation(number)),
  );
  // Until the code that answers is compiled, which takes so many operations, however long they
  // take.
  const warmUp = { connections: 16, forMs: FOR_MS, operations: workload.warmUp, token };
  for (const { url } of servers) await load(url, bodies, warmUp);
  for (const connections of CONNECTIONS)
    for (let round = 0; round < ROUNDS; round++)
      for (const server of servers)
        samples.push(await measure(server, workload, bodies, connections, round));
  process.stderr.write(`${workload.name}: measured\n`);
}
for (const server of [...servers, upstream]) await server.close();

const summary = summarize(samples);
process.stdout.write(toMarkdown(summary));
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ node: process.version, summary, samples })}\n`);

async function measure(
  server: ServerProcess & { name: string },
  { name: workload }: Workload,
  bodies: readonly string[],
  connections: number,
  round: number,
): Promise<Sample> {
  const before = await server.usage();
  const { requests: requestsBefore } = await upstream.usage();
  const { answered, seconds, latencies } = await load(server.url, bodies, {
    connections,
    forMs: FOR_MS,
    token,
  });
  const after = await server.usage();
  const { requests } = await upstream.usage();
  return {
    server: server.name,
    workload,
    connections,
    round,
    cpuMs: (after.cpuMs - before.cpuMs) / answered,
    perSecond: answered / seconds,
    p50Ms: latencies[Math.floor(answered / 2)]!,
    p99Ms: latencies[Math.floor(answered * 0.99)]!,
    rssMb: after.rssMb,
    upstreamRequests: (requests - requestsBefore) / answered,
  };
}

/** All servers answer an operation of the workload alike. */
async function checkEqual({ name, operation }: Workload): Promise<void> {
  const expected = await post(servers[0]!.url, operation(3));
  assert.ok(expected.data);
  for (const server of servers)
    if (!isDeepStrictEqual(await post(server.url, operation(3)), expected))
      throw new Error(`${server.name} does not answer "${name}" as the floor does.`);
}

async function post(url: string, operation: Operation): Promise<{ data?: unknown }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify(operation),
  });
  return (await response.json()) as { data?: unknown };
}
