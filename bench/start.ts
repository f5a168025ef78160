import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import module from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { installPeers } from './peers/install.ts';
import { forkServer, urlOf } from './peers/server-process.ts';
import { createWorkloads } from './peers/workloads.ts';

/*
 * Measures how long a program takes from its start to the first answered query, in turns: the built
 * gateway, and a server with Yoga and DataLoader. Processor times are read from /proc, which only
 * Linux has.
 *
 * npm run bench:start builds, and measures npm run bench:start -- --rounds 30 more rounds than 15
 * npm run bench:start -- --before ../old/dist another build of the gateway too
 *
 * A copy of another Node can be measured by running this file with it.
 */

interface Program {
  name: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
}

interface Start {
  wallMs: number;
  cpuMs: number;
  rssMb: number;
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    before: { type: 'string', multiple: true, default: [] },
  },
});
const BENCH = import.meta.dirname;

installPeers();
const { IDS } = (await import(new URL('peers/servers/rows.js', import.meta.url).href)) as {
  IDS: string[];
};
const token = ['{"alg":"none"}', '{"client_id":"bench"}', 'signature']
  .map(part => Buffer.from(part).toString('base64url'))
  .join('.');
const operation = createWorkloads(IDS)[0]!.operation(0);
const upstream = await forkServer('upstream');

const gateway = (name: string, dist: string, env = {}): Program => ({
  name,
  args: ['--enable-source-maps', join(dist, 'main.js')],
  env: { SAIL_BASE_URL: upstream.url, PORT: '0', ...env },
});
const compileCache = mkdtempSync(join(tmpdir(), 'compile-cache-'));
// Yoga comes first: the others are compared with it.
const programs: Program[] = [
  {
    name: 'Yoga + DataLoader',
    args: [join(BENCH, 'peers/servers/process.js'), 'yoga', upstream.url],
    env: {},
  },
  gateway('gateway', join(BENCH, '../dist')),
  gateway('gateway, sandbox tenant', join(BENCH, '../dist'), {
    SAIL_BASE_URL: '',
    SANDBOX_PORT: '0',
  }),
];
if ('enableCompileCache' in module)
  programs.push(
    gateway('gateway, with a compile cache', join(BENCH, '../dist'), {
      NODE_COMPILE_CACHE: compileCache,
    }),
  );
for (const dist of values.before) programs.push(gateway(`gateway, ${dist}`, resolve(dist)));

const starts = new Map<string, Start[]>(programs.map(({ name }) => [name, []]));
// The first round brings the files into the page cache; it does not count.
for (let round = -1; round < Number(values.rounds); round++)
  for (const program of programs) {
    const start = await measure(program);
    if (round >= 0) starts.get(program.name)!.push(start);
  }
await upstream.close();
rmSync(compileCache, { recursive: true });
process.stdout.write(toMarkdown());

async function measure({ args, env }: Program): Promise<Start> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, args, {
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const response = await fetch(await urlOf(child), {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
      body: JSON.stringify(operation),
    });
    const { data, errors } = (await response.json()) as { data?: object; errors?: object };
    const wallMs = performance.now() - startedAt;
    assert.ok(data && !errors);
    return { wallMs, ...usageOf(child) };
  } finally {
    // On SIGTERM the gateway exits in order, so that Node writes its compile cache.
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
}

/** What a process has used since it started. */
function usageOf({ pid }: ChildProcess): Omit<Start, 'wallMs'> {
  const threads = readdirSync(`/proc/${pid}/task`);
  const cpuMs = threads
    .map(thread => readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ', 1))
    .reduce((sum, [nanoseconds]) => sum + Number(nanoseconds) / 1e6, 0);
  const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return { cpuMs, rssMb: Number(kilobytes) / 1_024 };
}

function toMarkdown(): string {
  const rows = programs.map(({ name }) => {
    const cells = (['wallMs', 'cpuMs', 'rssMb'] as const).flatMap(figure => {
      const measured = starts.get(name)!.map(start => start[figure]);
      const ratios = measured.map(
        (value, round) => value / starts.get(programs[0]!.name)![round]![figure],
      );
      return [median(measured).toFixed(0), spread(ratios)];
    });
    return `| ${[name, ...cells].join(' | ')} |`;
  });
  return `Node ${process.version}, ${values.rounds} rounds: median; as a multiple of Yoga's in the same round: median (quartiles).

| | ms | ratio | processor, ms | ratio | RSS, MB | ratio |
| --- | --- | --- | --- | --- | --- | --- |
${rows.join('\n')}
`;
}

function spread(ratios: readonly number[]): string {
  const [low, middle, high] = [0.25, 0.5, 0.75].map(share => quantile(ratios, share).toFixed(2));
  return `${middle} (${low}–${high})`;
}

function median(measured: readonly number[]): number {
  return quantile(measured, 0.5);
}

function quantile(measured: readonly number[], share: number): number {
  return measured.toSorted((a, b) => a - b)[Math.floor((measured.length - 1) * share)]!;
}
