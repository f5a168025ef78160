import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { test } from 'node:test';
import { spawnMain } from '../support/process.ts';
import { freePort } from '../support/redis.ts';
import { postGraphQL } from '../support/start.ts';
import { until } from '../support/until.ts';

// Each write to it fails, as on a disk that has no space left.
const FULL = '/dev/full';

test(
  'a gateway whose output is a full disk serves, says so on stderr once, and leaves on SIGTERM',
  { skip: !existsSync(FULL) },
  async t => {
    const disk = await open(FULL, 'w');
    t.after(() => disk.close());
    const port = await freePort();
    const env = { PORT: String(port), SANDBOX_PORT: '0', LOG_LEVEL: 'info' };
    const child = spawnMain(t, [], env, disk.fd);
    let said = '';
    child.stderr!.on('data', chunk => (said += chunk));
    const url = `http://127.0.0.1:${port}/graphql`;
    const isServing = () =>
      postGraphQL(url, '{ __typename }').then(
        () => true,
        () => false,
      );
    await until(isServing);
    await until(() => said.includes('cannot be written'));
    assert.ok(await isServing());

    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
    assert.equal(said, 'The log cannot be written to standard output (ENOSPC)\n');
  },
);

const LOG = new URL('../../src/log.ts', import.meta.url).pathname;
// The bound is 32 MB.
const LOG_60_MB = `
  import { createLog } from ${JSON.stringify(LOG)};
  const log = createLog('info');
  for (let line = 0; line < 60; line++) log.info({ text: 'x'.repeat(1_000_000) }, 'long');
  process.stderr.write('logged');
  process.stdin.resume();
`;

test('lines that nothing reads do not fill the memory: what is lost is said once lines are read', async t => {
  const args = ['--import', 'tsx', '--input-type=module', '--eval', LOG_60_MB];
  const child = spawn(process.execPath, args, { stdio: 'pipe' });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stderr, 'data');
  let text = '';
  child.stdout.setEncoding('utf8').on('data', chunk => (text += chunk));
  await until(() => text.includes('were lost'));
  const lines = text.trim().split('\n');
  const { level, bytes } = JSON.parse(lines.at(-1)!) as { level: string; bytes: number };
  assert.equal(level, 'warn');
  assert.ok(lines.length < 60 && bytes > 20_000_000, `${lines.length} lines, ${bytes} bytes lost`);
});
