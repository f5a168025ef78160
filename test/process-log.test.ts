import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { firstLine, spawnMain } from './support/process.ts';
import { until } from './support/until.ts';

/**
 * Runs `code` in a gateway of its own when that receives SIGUSR2, and collects what the process
 * prints then.
 */
async function runInGateway(t: Parameters<typeof spawnMain>[0], code: string) {
  const preload = `process.once("SIGUSR2", () => { ${code} })`;
  const child = spawnMain(t, ['serve'], {
    PORT: '0',
    SANDBOX_PORT: '0',
    NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(preload)}`,
  });
  const printed = { stdout: '', stderr: '' };
  child.stderr!.on('data', data => (printed.stderr += data));
  await firstLine(child);
  child.stdout!.setEncoding('utf8').on('data', data => (printed.stdout += data));
  child.kill('SIGUSR2');
  return { child, printed };
}

/** Every line is JSON. Returns the first that contains `text`. */
function lineWith(stdout: string, text: string) {
  const lines = stdout.trim().split('\n');
  const parsed = lines.map(line => JSON.parse(line));
  return parsed[lines.findIndex(line => line.includes(text))] ?? assert.fail(stdout);
}

test('a warning of Node is a line of the log', async t => {
  const code = 'process.emitWarning("too many of something", "TestWarning", "TEST_CODE")';
  const { printed } = await runInGateway(t, code);
  await until(() => printed.stdout.includes('TestWarning') || printed.stderr !== '');
  assert.equal(printed.stderr, '');
  const { level, warning, code: warningCode, msg } = lineWith(printed.stdout, 'TestWarning');
  assert.deepEqual(
    [level, warning, warningCode, msg],
    ['warn', 'TestWarning', 'TEST_CODE', 'too many of something'],
  );
});

test('lines are whole and in order, however long they are', async t => {
  // More bytes than one write takes, and more than its characters are.
  const code = `for (const message of ["first", "é€".repeat(30_000), "last"])
    process.emitWarning(message, "TestWarning")`;
  const { printed } = await runInGateway(t, code);
  await until(() => printed.stdout.includes('"last"'));
  const lines = printed.stdout.trim().split('\n');
  const messages = lines.map(line => JSON.parse(line)).filter(line => line.warning);
  assert.deepEqual(
    messages.map(({ msg }) => msg),
    ['first', 'é€'.repeat(30_000), 'last'],
  );
});

for (const [name, code] of [
  ['an exception that nothing catches', 'throw new Error("a bug")'],
  ['a rejection that nothing handles', 'Promise.reject(new Error("a bug"))'],
] as const)
  test(`${name} is a line of the log and ends the process with 1`, async t => {
    const { child, printed } = await runInGateway(t, code);
    const [exitCode] = await once(child, 'close');
    assert.deepEqual([exitCode, printed.stderr], [1, '']);
    const { level, err } = lineWith(printed.stdout, 'a bug');
    assert.deepEqual([level, err.message], ['error', 'a bug']);
  });
