import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdir, readFile, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { firstLine } from '../support/process.ts';
import { PROJECT, copyProject, emptyFolder, linkLibraries } from '../support/program-copy.ts';
import { WITHOUT_REDIS, redisUrlFor } from '../support/redis.ts';
import { environmentOver, postGraphQL, startSandbox } from '../support/start.ts';

const run = promisify(execFile);
const SOURCES = [
  'package.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'schema.graphql',
  'README.md',
  'LICENSE',
  'src',
  'deploy/bundle.ts',
];

const BUILT_AT = new Date('2020-01-01');

/** What an application writes that uses every export. */
const CONSUMER = `
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ConfigError, createGateway, readConfig, startGateway } from 'task-status-gateway';
import type {
  Clock, Config, EmbeddedGateway, EmbeddedGatewayOptions, FetchOptions, Gateway, GatewayFetch, GatewayOptions, Log,
  Metrics, Readiness,
} from 'task-status-gateway';
import { type Sandbox, startSandbox } from 'task-status-gateway/sandbox';

const sandbox: Sandbox = await startSandbox({ tasks: 1 });
const config: Config = readConfig({ SAIL_BASE_URL: sandbox.url, PORT: '0' });
const options: EmbeddedGatewayOptions = { ...config, client: sandbox.client, pathPrefix: '/api' };
const embedded: EmbeddedGateway = await createGateway(options);
const answer: Promise<Response> = embedded.fetch(new Request('http://localhost/api/graphql'));
const handle: (request: IncomingMessage, response: ServerResponse) => void = embedded.handle;
const upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void = embedded.upgrade;
const from: FetchOptions = { clientAddress: '192.0.2.1' };
const fetch: GatewayFetch = embedded.fetch;
const closed: Promise<void> = embedded.close();
const served = (given: GatewayOptions, clock: Clock, log: Log, metrics: Metrics): Promise<Gateway> =>
  startGateway(given, clock, log, metrics);
const readiness: Promise<Readiness> = embedded.checkReadiness();
const faults: readonly string[] = new ConfigError([]).faults;
// @ts-expect-error A misspelt option is an error.
void createGateway({ ...config, pathPrefixes: '/api' });
export { answer, closed, faults, fetch, from, handle, readiness, served, upgrade };
`;

test('the package is built once, installs without its sources, runs, and compiles for its users', async t => {
  const sources = await emptyFolder(t);
  await copyProject(sources, SOURCES);
  await linkLibraries(sources);
  const consumer = await emptyFolder(t);

  // As `npm ci` does, this runs the script `prepare`.
  await run('npm', ['pack', '--pack-destination', consumer], { cwd: sources });
  await t.test('the start after it builds nothing', () => startsWithoutBuilding(sources));
  await t.test('a start after a change of the sources builds', () => startBuilds(sources));
  await install(consumer);
  await t.test('the installed program serves', t => serves(t, consumer));
  await t.test('it sends its pages', t => sendsPages(t, consumer));
  await t.test('it shares a Redis and sends traces', { skip: WITHOUT_REDIS }, t =>
    sharesAndTraces(t, consumer),
  );
  await t.test('its stack traces name the lines of the sources', t => namesSources(t, consumer));
  await t.test('its types suffice for an application', () => compiles(consumer));
});

async function startsWithoutBuilding(sources: string): Promise<void> {
  const main = join(sources, 'dist/main.js');
  await utimes(main, BUILT_AT, BUILT_AT);
  await run('npm', ['run', 'prestart'], { cwd: sources });
  assert.deepEqual((await stat(main)).mtime, BUILT_AT);
}

async function startBuilds(sources: string): Promise<void> {
  await writeFile(join(sources, 'src/added.ts'), 'export const added = 1;\n');
  await run('npm', ['run', 'prestart'], { cwd: sources });
  assert.match(await readFile(join(sources, 'dist/added.js'), 'utf8'), /added = 1/);
  // The program is bundled again.
  assert.notDeepEqual((await stat(join(sources, 'dist/main.js'))).mtime, BUILT_AT);
}

/** Unpacks the package and links what it declares as dependencies, and nothing else. */
async function install(consumer: string): Promise<void> {
  const tarball = (await readdir(consumer)).find(name => name.endsWith('.tgz')) ?? assert.fail();
  const installed = join(consumer, 'node_modules/task-status-gateway');
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', installed], { cwd: consumer });
  const { dependencies } = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'));
  await linkLibraries(consumer, [...Object.keys(dependencies), '@types/node']);
  assert.deepEqual((await readdir(installed)).sort(), [
    'LICENSE',
    'README.md',
    'dist',
    'package.json',
    'schema.graphql',
  ]);
}

async function serves(t: TestContext, consumer: string): Promise<void> {
  const sandbox = await startSandbox(t);
  const [id] = sandbox.tenant.addTasks(1);
  const child = spawnProgram(t, consumer, environmentOver(sandbox));
  const url = await urlOf(child);
  const { data } = await postGraphQL(url, `{ taskStatus(id: "${id}") { id } }`);
  assert.deepEqual(data, { taskStatus: { id } });
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
}

async function sendsPages(t: TestContext, consumer: string): Promise<void> {
  const child = spawnProgram(t, consumer, environmentOver(await startSandbox(t)));
  const graphiql = new URL(await urlOf(child));
  const board = new URL('/', graphiql);
  for (const page of [graphiql, board]) {
    const html = await (await fetch(page, { headers: { accept: 'text/html' } })).text();
    const [script = ''] = /assets\/[^"]+\.js/.exec(html) ?? assert.fail(html);
    assert.equal((await fetch(new URL(script, board))).status, 200);
  }
}

async function sharesAndTraces(t: TestContext, consumer: string): Promise<void> {
  const sandbox = await startSandbox(t);
  const collector = createServer((_request, response) => void response.end('{}'));
  collector.listen(0, '127.0.0.1');
  await once(collector, 'listening');
  t.after(() => collector.close());
  const traced = once(collector, 'request');
  const child = spawnProgram(t, consumer, {
    ...environmentOver(sandbox),
    REDIS_URL: await redisUrlFor(t),
    REDIS_STARTUP: 'require',
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
    OTEL_BSP_SCHEDULE_DELAY: '10',
  });
  await postGraphQL(await urlOf(child), '{ taskStatuses { totalCount } }');
  const [request] = await traced;
  assert.equal(request.url, '/v1/traces');
}

async function namesSources(t: TestContext, consumer: string): Promise<void> {
  const failure = `
    import { Server } from 'node:net';
    Server.prototype.listen = () => { throw new Error('cannot listen'); };`;
  const child = spawnProgram(t, consumer, environmentOver(await startSandbox(t)), [
    '--enable-source-maps',
    `--import=data:text/javascript,${encodeURIComponent(failure)}`,
  ]);
  let stack = '';
  for await (const chunk of child.stderr ?? []) stack += chunk;
  assert.match(stack, /cannot listen[^]+src\/http\/server\.ts:\d+:\d+[^]+src\/gateway\.ts:\d+:\d+/);
}

/** Starts the installed program, which is killed after the test. */
function spawnProgram(
  t: TestContext,
  consumer: string,
  env: Record<string, string>,
  flags: readonly string[] = [],
): ChildProcess {
  const program = join(consumer, 'node_modules/task-status-gateway/dist/main.js');
  const child = spawn(process.execPath, [...flags, program], {
    cwd: consumer,
    env: { PATH: process.env['PATH'], ...env },
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

async function urlOf(child: ChildProcess): Promise<string> {
  return /^GraphQL at (\S+),/.exec(await firstLine(child))?.[1] ?? assert.fail('no URL');
}

async function compiles(consumer: string): Promise<void> {
  await writeFile(join(consumer, 'package.json'), '{ "type": "module" }');
  await writeFile(join(consumer, 'consumer.ts'), CONSUMER);
  const options = '--noEmit --strict --exactOptionalPropertyTypes --target es2023 --types node';
  // The declarations are checked too, which is the compiler's default.
  for (const modules of [
    '--module node16',
    '--module nodenext',
    '--module esnext --moduleResolution bundler',
  ])
    await run(
      join(PROJECT, 'node_modules/.bin/tsc'),
      [...options.split(' '), ...modules.split(' '), 'consumer.ts'],
      { cwd: consumer },
    ).catch((error: { stdout: string }) => assert.fail(`${modules}\n${error.stdout}`));
}
