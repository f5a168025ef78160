import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { firstLine } from '../support/process.ts';
import { PROJECT, copyProject, emptyFolder, linkLibraries } from '../support/program-copy.ts';
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
];

/** What an application writes that uses every export. */
const CONSUMER = `
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { ConfigError, createGateway, readConfig, startGateway } from 'task-status-gateway';
import type {
  Clock, Config, EmbeddedGateway, EmbeddedGatewayOptions, FetchOptions, Gateway, GatewayFetch, GatewayOptions, Log,
} from 'task-status-gateway';
import { startSandbox } from 'task-status-gateway/sandbox';

const sandbox = await startSandbox({ tasks: 1 });
const config: Config = readConfig({ SAIL_BASE_URL: sandbox.url, PORT: '0' });
const options: EmbeddedGatewayOptions = { ...config, client: sandbox.client, pathPrefix: '/api' };
const embedded: EmbeddedGateway = await createGateway(options);
const answer: Promise<Response> = embedded.fetch(new Request('http://localhost/api/graphql'));
const handle: (request: IncomingMessage, response: ServerResponse) => void = embedded.handle;
const upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void = embedded.upgrade;
const from: FetchOptions = { clientAddress: '192.0.2.1' };
const fetch: GatewayFetch = embedded.fetch;
const closed: Promise<void> = embedded.close();
const served = (given: GatewayOptions, clock: Clock, log: Log): Promise<Gateway> => startGateway(given, clock, log);
const faults: readonly string[] = new ConfigError([]).faults;
// @ts-expect-error A misspelt option is an error.
void createGateway({ ...config, pathPrefixes: '/api' });
export { answer, closed, faults, fetch, from, handle, served, upgrade };
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
  await t.test('its types suffice for an application', () => compiles(consumer));
});

async function startsWithoutBuilding(sources: string): Promise<void> {
  const main = join(sources, 'dist/main.js');
  const built = new Date('2020-01-01');
  await utimes(main, built, built);
  await run('npm', ['run', 'prestart'], { cwd: sources });
  assert.deepEqual((await stat(main)).mtime, built);
}

async function startBuilds(sources: string): Promise<void> {
  await writeFile(join(sources, 'src/added.ts'), 'export const added = 1;\n');
  await run('npm', ['run', 'prestart'], { cwd: sources });
  assert.match(await readFile(join(sources, 'dist/added.js'), 'utf8'), /added = 1/);
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
  const program = join(consumer, 'node_modules/task-status-gateway/dist/main.js');
  const child = spawn(process.execPath, [program], {
    cwd: consumer,
    env: { PATH: process.env['PATH'], ...environmentOver(sandbox) },
  });
  t.after(() => child.kill('SIGKILL'));
  const [, url = ''] = /^GraphQL at (\S+),/.exec(await firstLine(child)) ?? [];
  const { data } = await postGraphQL(url, `{ taskStatus(id: "${id}") { id } }`);
  assert.deepEqual(data, { taskStatus: { id } });
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
}

async function compiles(consumer: string): Promise<void> {
  await writeFile(join(consumer, 'package.json'), '{ "type": "module" }');
  await writeFile(join(consumer, 'consumer.ts'), CONSUMER);
  const options =
    '--noEmit --strict --exactOptionalPropertyTypes --module nodenext --target es2023';
  await run(
    join(PROJECT, 'node_modules/.bin/tsc'),
    [...options.split(' '), '--types', 'node', '--skipLibCheck', 'consumer.ts'],
    { cwd: consumer },
  ).catch((error: { stdout: string }) => assert.fail(error.stdout));
}
