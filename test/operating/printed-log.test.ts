import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { spawnMain } from '../support/process.ts';
import { environmentOver, postGraphQL, startSandbox } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

/** The program over a sandbox, and what it has printed after its first line. */
async function start(t: TestContext, env: Record<string, string>) {
  const sandbox = await startSandbox(t);
  const child = spawnMain(t, [], { ...environmentOver(sandbox), LOG_LEVEL: 'info', ...env });
  const lines: string[] = [];
  createInterface({ input: child.stdout! }).on('line', line => lines.push(line));
  await until(() => lines.some(line => line.startsWith('GraphQL at ')));
  const first = lines.findIndex(line => line.startsWith('GraphQL at '));
  const [, url = ''] = /^GraphQL at (\S+?),?( |$)/.exec(lines[first] ?? '') ?? [];
  return { child, url, lines, tenant: sandbox.tenant };
}

const READ = 'query Screen($id: ID!) { taskStatus(id: $id) { state } }';

test('an operation and a subscription each end with a line of JSON', async t => {
  const { url, lines, tenant } = await start(t, {});
  const id = tenant.addTask();
  const requestId = 'a.b:c+d/e=f@g-h_1';
  await postGraphQL(url, READ, { id }, { 'x-request-id': requestId });
  await postGraphQL(url, '{ nothing }', {}, { 'x-request-id': 'second' });
  const events = subscribe(
    t,
    'sse',
    url,
    'subscription Watch($id: ID!) { taskProgress(id: $id) { id } }',
    { id },
  );
  await events.next();
  tenant.finish(id);
  const find = (msg: string) =>
    lines.filter(line => line.includes(`"msg":"${msg}"`)).map(line => JSON.parse(line));
  await until(() => find('operation').length === 2 && find('subscription ended').length === 1);

  const [read, invalid] = find('operation');
  const { time, durationMs, budgetWaitMs, hash, ...facts } = read;
  assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(durationMs > 0 && budgetWaitMs >= 0);
  assert.match(hash, /^[0-9a-f]{16}$/);
  assert.deepEqual(facts, {
    level: 'info',
    name: 'Screen',
    type: 'query',
    transport: 'http',
    codes: [],
    upstreamRequests: 1,
    requestId,
    msg: 'operation',
  });
  assert.deepEqual(invalid.codes, ['BAD_USER_INPUT']);
  assert.equal(invalid.requestId, 'second');
  const [ended] = find('subscription ended');
  assert.deepEqual([ended.name, ended.type, ended.transport], ['Watch', 'subscription', 'sse']);
  assert.ok(ended.events >= 1);
});

test('the line of an operation is written for people too, and only at its level', async t => {
  const [pretty, warnings] = await Promise.all([
    start(t, { LOG_FORMAT: 'pretty' }),
    start(t, { LOG_LEVEL: 'warn' }),
  ]);
  for (const { child, url, tenant } of [pretty, warnings]) {
    await postGraphQL(url, READ, { id: tenant.addTask() });
    child.kill('SIGTERM');
    await once(child, 'close');
  }
  const line = pretty.lines.find(text => text.includes('name=Screen'));
  assert.match(line ?? '', /^\d\d:\d\d:\d\d\.\d{3} INFO {2}operation {2}name=Screen {2}hash=/);
  assert.deepEqual(
    warnings.lines.filter(text => text.includes('Screen')),
    [],
  );
});
