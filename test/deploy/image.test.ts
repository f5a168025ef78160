import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, readFile, readdir, realpath, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { type Copy, DockerfileParser, type Instruction } from 'dockerfile-ast';
import { firstLine } from '../support/process.ts';
import { PROJECT, emptyFolder } from '../support/program-copy.ts';
import { environmentOver, fetchToken, postGraphQL, startSandbox } from '../support/start.ts';

const run = promisify(execFile);
// No container engine runs here. The test carries out the instructions of each stage in a folder.
const WORKDIR = '/app';
/** Where the base image has Node. */
const NODE = '/usr/local/bin/node';

/** What a stage leaves: its file system, and how its program starts. */
interface Stage {
  root: string;
  env: Record<string, string>;
  user: string;
  labels: Record<string, string>;
  entrypoint: string[];
  healthcheck: string[];
}

test('the image holds a program that runs without root and without writing files, and reports its health', async t => {
  const image = await buildImage(t);
  assert.deepEqual((await readdir(join(image.root, WORKDIR))).sort(), [
    'dist',
    'node_modules',
    'package.json',
    'sbom.cdx.json',
  ]);
  const sbom = JSON.parse(
    await readFile(join(image.root, image.labels['sbom.path'] ?? ''), 'utf8'),
  );
  const names = sbom.components.map(({ name }: { name: string }) => name) as string[];
  assert.ok(names.includes('graphql-yoga') && !names.includes('typescript'), 'SBOM');
  assert.match(image.user, /^[1-9]\d*:\d+$/);

  const sandbox = await startSandbox(t);
  const [id] = sandbox.tenant.addTasks(1);
  const env = {
    ...image.env,
    ...environmentOver(sandbox),
    // A container listens on every address; here, on this machine only.
    HOST: '127.0.0.1',
    AUTH_MODE: 'passthrough',
  };
  const child = start(t, image, image.entrypoint, env);
  const [, url = ''] = /^GraphQL at (\S+),/.exec(await firstLine(child)) ?? [];
  const authorization = `Bearer ${await fetchToken(sandbox)}`;
  const { data } = await postGraphQL(
    url,
    `{ taskStatus(id: "${id}") { id } }`,
    {},
    { authorization },
  );
  assert.deepEqual(data, { taskStatus: { id } });

  const { port: PORT } = new URL(url);
  const check = () => once(start(t, image, image.healthcheck, { ...env, PORT }), 'exit');
  assert.deepEqual(await check(), [0, null]);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exited, [0, null]);
  assert.deepEqual(await check(), [1, null]);
});

async function buildImage(t: TestContext): Promise<Stage> {
  const text = await readFile(join(PROJECT, 'Dockerfile'), 'utf8');
  const context = readContext(await readFile(join(PROJECT, '.dockerignore'), 'utf8'));
  const stages = new Map<string, Stage>();
  let stage: Stage | undefined;
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    const keyword = instruction.getKeyword();
    if (keyword === 'FROM') {
      const [base = '', , name = ''] = wordsOf(instruction);
      assert.match(base, /^node:24-slim$/);
      stage = await newStage(t);
      stages.set(name, stage);
    } else {
      assert.ok(stage);
      await carryOut(instruction, stage, stages, context);
    }
  }
  assert.ok(stage);
  return stage;
}

async function newStage(t: TestContext): Promise<Stage> {
  const root = await emptyFolder(t);
  await chmod(root, 0o755);
  await mkdir(join(root, WORKDIR));
  // The user of the image may have no right to the folder of the Node that runs this test.
  await mkdir(join(root, dirname(NODE)), { recursive: true });
  await copyByLinks(process.execPath, join(root, NODE));
  return { root, env: {}, user: '', labels: {}, entrypoint: [], healthcheck: [] };
}

async function carryOut(
  instruction: Instruction,
  stage: Stage,
  stages: ReadonlyMap<string, Stage>,
  context: ReadonlySet<string>,
): Promise<void> {
  const words = wordsOf(instruction);
  switch (instruction.getKeyword()) {
    case 'WORKDIR':
      return assert.deepEqual(words, [WORKDIR]);
    case 'COPY':
      return copy(instruction as Copy, stage, stages, context);
    case 'RUN':
      return runCommand(instruction.getRawArgumentsContent() ?? '', stage);
    case 'ENV':
      return void Object.assign(stage.env, toPairs(instruction));
    case 'LABEL':
      return void Object.assign(stage.labels, toPairs(instruction));
    case 'USER':
      return void (stage.user = words[0] ?? '');
    case 'HEALTHCHECK':
      return void (stage.healthcheck = toCommand(instruction));
    case 'ENTRYPOINT':
      return void (stage.entrypoint = toCommand(instruction));
    case 'EXPOSE':
      return undefined;
    default:
      return assert.fail(`The test does not know ${instruction.getKeyword()}.`);
  }
}

async function copy(
  instruction: Copy,
  stage: Stage,
  stages: ReadonlyMap<string, Stage>,
  context: ReadonlySet<string>,
): Promise<void> {
  const from = instruction.getFromFlag()?.getValue() ?? undefined;
  const paths = wordsOf(instruction);
  const target = paths.pop() ?? '';
  for (const path of paths) {
    if (from === undefined) assert.ok(context.has(path), `.dockerignore lets ${path} in`);
    const source = from === undefined ? join(PROJECT, path) : join(stages.get(from)!.root, path);
    const place = target.endsWith('/') ? join(target, basename(path)) : target;
    await cp(source, join(stage.root, WORKDIR, place), { recursive: true, verbatimSymlinks: true });
  }
}

/** Runs a command of the build stage. What `npm ci` would install is taken from the project. */
async function runCommand(command: string, { root }: Stage): Promise<void> {
  const cwd = join(root, WORKDIR);
  if (command.startsWith('npm ci ')) await copyLibraries(join(cwd, 'node_modules'));
  else await run('sh', ['-euc', command], { cwd });
}

async function copyLibraries(target: string): Promise<void> {
  await copyByLinks(await realpath(join(PROJECT, 'node_modules')), target);
  // npm writes into this file in place; without it, npm reads the folders.
  await rm(join(target, '.package-lock.json'), { force: true });
}

/** Copies a file or a folder by hard links where the file system allows them. */
async function copyByLinks(source: string, target: string): Promise<void> {
  await run('cp', ['-al', source, target]).catch(async () => {
    await rm(target, { recursive: true, force: true });
    await run('cp', ['-a', source, target]);
  });
}

/** Starts a program of the image with its user, and without the permission to write files. */
function start(
  t: TestContext,
  { root, user }: Stage,
  [program, ...args]: readonly string[],
  env: Record<string, string>,
): ChildProcess {
  assert.equal(program, 'node');
  const flag = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission';
  const [uid = 0, gid = 0] = user.split(':').map(Number);
  const child = spawn(join(root, NODE), [flag, '--allow-fs-read=*', '--no-warnings', ...args], {
    cwd: join(root, WORKDIR),
    env,
    // Only root may start programs of other users.
    ...(process.getuid?.() === 0 ? { uid, gid } : {}),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

/** The paths of the build context: all others are ignored. */
function readContext(ignore: string): Set<string> {
  const [all, ...exceptions] = ignore.trim().split('\n');
  assert.equal(all, '*');
  return new Set(exceptions.map(line => line.slice(1)));
}

function wordsOf(instruction: Instruction): string[] {
  return instruction.getArguments().map(argument => argument.getValue());
}

function toPairs(instruction: Instruction): Record<string, string> {
  const pairs = (instruction.getRawArgumentsContent() ?? '').matchAll(
    /([\w.]+)=(?:"([^"]*)"|(\S+))/g,
  );
  return Object.fromEntries([...pairs].map(([, name, quoted, plain]) => [name, quoted ?? plain]));
}

/** The command of an instruction in the form of a JSON array. */
function toCommand(instruction: Instruction): string[] {
  const [json = ''] = /\[.*\]/s.exec(instruction.getRawArgumentsContent() ?? '') ?? [];
  return JSON.parse(json) as string[];
}
