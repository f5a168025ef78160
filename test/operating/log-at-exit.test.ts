import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { spawnMain } from '../support/process.ts';
import { postGraphQL } from '../support/start.ts';
import { until } from '../support/until.ts';

// Their lines are more than the buffers of a pipe hold.
const OPERATIONS = 1_500;
const AT_ONCE = 50;
// Longer than a program that has nothing else to do waits for the reader of its last lines.
const UNREAD_MS = 1_000;

const THROW = 'process.once("SIGUSR2", () => { throw new Error("a bug") })';
const CRASH = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(THROW)}` };

interface LogLine {
  msg: string;
  time: string;
}

/** A gateway that has answered operations while nothing read its log. */
async function startUnread(t: TestContext, env: Record<string, string> = {}) {
  const child = spawnMain(t, [], { PORT: '0', SANDBOX_PORT: '0', ...env });
  const stdout = child.stdout!.setEncoding('utf8');
  const closed = once(child, 'close');
  let text = '';
  stdout.on('data', (chunk: string) => (text += chunk));
  await until(() => /^GraphQL at .*\n/m.test(text));
  stdout.pause();
  const [, url = '', sandboxUrl = ''] = /^GraphQL at (\S+),.* at (\S+)$/m.exec(text) ?? [];
  const requestId = 'x'.repeat(128);
  for (let asked = 0; asked < OPERATIONS; asked += AT_ONCE)
    await Promise.all(
      Array.from({ length: AT_ONCE }, () =>
        postGraphQL(url, '{ __typename }', {}, { 'x-request-id': requestId }),
      ),
    );
  return {
    child,
    sandboxUrl,
    /** The lines of the log. None may be cut, or mixed with another. */
    async read(): Promise<LogLine[]> {
      stdout.resume();
      await closed;
      const lines = text.trim().split('\n');
      return lines.filter(line => !line.startsWith('GraphQL at ')).map(line => JSON.parse(line));
    },
  };
}

function countOperations(lines: readonly LogLine[]): number {
  return lines.filter(({ msg }) => msg === 'operation').length;
}

test('the log is whole after a SIGTERM, even if nothing has read it for a while', async t => {
  const startedAt = new Date().toISOString();
  const { child, sandboxUrl, read } = await startUnread(t);
  child.kill('SIGTERM');
  // The sandbox is the last to be closed. Then the log has until the end of the grace period.
  while (await isListening(sandboxUrl));
  const readAt = performance.now() + UNREAD_MS;
  await until(() => performance.now() > readAt);
  const lines = await read();
  assert.equal(countOperations(lines), OPERATIONS);
  assert.equal(lines.at(-1)?.msg, 'shutting down');
  const times = lines.map(({ time }) => time);
  assert.deepEqual([startedAt, ...times, new Date().toISOString()].toSorted().slice(1, -1), times);
});

test('the log is whole after an exception that nothing catches', async t => {
  const { child, read } = await startUnread(t, CRASH);
  child.kill('SIGUSR2');
  const lines = await read();
  assert.equal(countOperations(lines), OPERATIONS);
  assert.match(lines.at(-1)?.msg ?? '', /uncaught exception/);
});

for (const [name, signal] of [
  ['a SIGTERM', 'SIGTERM'],
  ['an exception that nothing catches', 'SIGUSR2'],
] as const)
  test(`the process ends in time after ${name} even if its log is never read`, async t => {
    const { child } = await startUnread(t, { ...CRASH, SHUTDOWN_GRACE_MS: '500' });
    child.kill(signal);
    await once(child, 'exit');
  });

function isListening(url: string): Promise<boolean> {
  return fetch(url).then(
    () => true,
    () => false,
  );
}
