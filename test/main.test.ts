import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { firstLine, spawnMain } from './support/process.ts';
import { environmentOver, postGraphQL, startSandbox } from './support/start.ts';

function run(t: TestContext, args: string[], env: Record<string, string> = {}) {
  const child = spawnMain(t, args, env);
  return {
    child,
    ended: once(child, 'close') as Promise<[number]>,
    stdout: text(child, 'stdout'),
    stderr: text(child, 'stderr'),
  };
}

async function text(child: ChildProcess, stream: 'stdout' | 'stderr'): Promise<string> {
  let all = '';
  for await (const chunk of child[stream] ?? []) all += chunk;
  return all;
}

test('schema prints the SDL', async t => {
  const { stdout, ended } = run(t, ['schema']);
  assert.equal(await stdout, readFileSync(new URL('../schema.graphql', import.meta.url), 'utf8'));
  assert.equal((await ended)[0], 0);
});

test('schema --subgraph prints the SDL for composition, for federation 2.9 with costs', async t => {
  const ask = (version: string) => run(t, ['schema', '--subgraph', '--federation', version]);
  const [known, unknown] = [ask('2.9'), ask('2')];
  assert.match(await known.stdout, /federation\/v2\.9"[^]*@listSize\(/);
  assert.match(await unknown.stderr, /--federation/);
  assert.equal((await unknown.ended)[0], 2);
});

test('without a command it serves GraphQL over the embedded sandbox, and stops on a signal', async t => {
  const { child, ended } = run(t, [], { PORT: '0', SANDBOX_PORT: '0' });
  const line = await firstLine(child);
  const [, url = ''] =
    /^GraphQL at (\S+), over the sandbox tenant at http/.exec(line) ?? assert.fail(line);
  const { data } = await postGraphQL(url, '{ taskStatuses { totalCount } }');
  assert.ok(data.taskStatuses.totalCount >= 80);
  child.kill('SIGTERM');
  assert.equal((await ended)[0], 0);
});

test('the sandbox command starts a tenant that another gateway can use', async t => {
  const { child } = run(t, ['sandbox'], { SANDBOX_PORT: '0', SANDBOX_TASKS: '5' });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout! }))
    if (lines.push(line) === 3) break;
  const [, base = ''] = /at (http\S+)$/.exec(lines[0] ?? '') ?? [];
  const credentials = Object.fromEntries(lines.slice(1).map(line => line.split('='))) as Record<
    string,
    string
  >;
  const gateway = run(t, ['serve'], {
    PORT: '0',
    SAIL_BASE_URL: base,
    AUTH_MODE: 'service',
    ...credentials,
  });
  const [, url = ''] = /^GraphQL at (\S+),/.exec(await firstLine(gateway.child)) ?? [];
  assert.ok(
    (await postGraphQL(url, '{ taskStatuses { totalCount } }')).data.taskStatuses.totalCount >= 5,
  );
});

test('a wrong value stops the start with one line per fault', async t => {
  const { stderr, ended } = run(t, [], { PORT: 'x', AUTH_MODE: 'none' });
  assert.deepEqual(
    (await stderr)
      .trim()
      .split('\n')
      .map(line => line.split(':')[0])
      .sort(),
    ['AUTH_MODE', 'PORT'],
  );
  assert.equal((await ended)[0], 1);
});

test('an address that cannot be listened on is answered in a line that names the variable', async t => {
  const sandbox = await startSandbox(t);
  // 192.0.2.1 is an address of no machine.
  for (const host of ['192.0.2.1', 'no-such-host.invalid']) {
    const { stderr, ended } = run(t, [], {
      ...environmentOver(sandbox),
      AUTH_MODE: 'passthrough',
      HOST: host,
    });
    assert.match(await stderr, /^HOST: cannot listen at \S+ \([A-Z_]+\)[^\n]*\n$/);
    assert.equal((await ended)[0], 1);
  }
});

test('an unknown command prints the known ones', async t => {
  const { stderr, ended } = run(t, ['fly']);
  assert.match(await stderr, /serve[\s\S]+sandbox[\s\S]+schema/);
  assert.equal((await ended)[0], 2);
});

test('what the command line does not know is answered in a line, with exit code 2', async t => {
  for (const args of [
    ['--fly'],
    ['serve', 'now'],
    ['serve', '--subgraph'],
    ['schema', '--federation', '2.9'],
    ['schema', '--subgraph', '--federation', '3'],
  ]) {
    const { stdout, stderr, ended } = run(t, args);
    assert.match(await stderr, /^[^\n]+; see task-status-gateway --help\n$/);
    assert.equal(await stdout, '');
    assert.equal((await ended)[0], 2);
  }
});

test('--version prints the version, and --help the commands', async t => {
  const version = run(t, ['--version']);
  assert.match(await version.stdout, /^\d+\.\d+\.\d+\n$/);
  const help = run(t, ['--help']);
  assert.match(await help.stdout, /serve[^]+check[^]+sandbox[^]+schema[^]+--version/);
  assert.deepEqual([(await version.ended)[0], (await help.ended)[0]], [0, 0]);
});

test('over the sandbox the log says at once that tasks are invented', async t => {
  const { child } = run(t, [], { PORT: '0', SANDBOX_PORT: '0', LOG_FORMAT: 'pretty' });
  let isSaid = false;
  for await (const line of createInterface({ input: child.stdout! }))
    if ((isSaid = /WARN {2}SAIL_BASE_URL is not set: all tasks are invented/.test(line))) break;
  assert.ok(isSaid);
});

test('a wrong secret is in the log before the first caller finds out', async t => {
  const sandbox = await startSandbox(t);
  const { child } = run(t, [], {
    ...environmentOver(sandbox),
    SAIL_CLIENT_SECRET: 'wrong',
    LOG_LEVEL: 'error',
  });
  let isSaid = false;
  for await (const line of createInterface({ input: child.stdout! }))
    if ((isSaid = line.includes('upstream refuses the client credentials'))) break;
  assert.ok(isSaid);
});
