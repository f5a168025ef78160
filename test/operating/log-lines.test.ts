import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { type CapturedLog, createCapturedLog } from '../support/captured-log.ts';
import { openConnection } from '../support/raw-connection.ts';
import { WITHOUT_OWN_REDIS, freePort, spawnRedis, startRedis } from '../support/redis.ts';
import { type StartOptions, startGateway, startSandbox } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const LIST = '{ taskStatuses { nodes { id } } }';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { state } }';
const DOCUMENTED = documentedLines();

/** One text at the end, or two between which an expression chooses. */
const LAST_TEXTS = /(?:('[^']+'|"[^"]+")\s*:\s*)?('[^']+'|"[^"]+"),?\s*$/;

/** What any test of this file has seen in a log. */
const seen = new Set<string>();

/** The messages in the first column of the table of docs/operating.md. */
function documentedLines(): string[] {
  const docs = readFileSync(new URL('../../docs/operating.md', import.meta.url), 'utf8');
  const [, table = ''] = docs.split('| `msg` | level |');
  const cells = [...table.matchAll(/^\| (`.*?`) \| (?:debug|info|warn|error)/gm)];
  return cells.flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text),
  );
}

async function start(t: TestContext, options: StartOptions = {}) {
  const log = createCapturedLog();
  t.after(() => log.lines.forEach(({ message }) => seen.add(message)));
  return { ...(await startGateway(t, { ...options, log })), log };
}

function untilLogged(log: CapturedLog, ...messages: string[]): Promise<void> {
  return until(() => messages.every(message => log.lines.some(line => line.message === message)));
}

test('a query, a subscription, drift, refusals and the end of the gateway are logged', async t => {
  const { log, query, url, tenant, sandbox, gateway } = await start(t);
  const id = tenant.addTask();
  await query('query ($id: ID!) { taskStatus(id: $id) { id } }', { id });
  sandbox.faults.order({ fault: { kind: 'row', mutation: 'type-new', all: true }, times: 1 });
  await query(LIST);
  sandbox.faults.order({
    fault: { kind: 'row', mutation: 'description-number', all: true },
    times: 1,
  });
  await query(LIST);
  sandbox.faults.order({ fault: { kind: 'status', status: 403 }, times: 1 });
  await query(LIST);
  const events = subscribe(t, 'ws', url, PROGRESS, { id });
  await events.next();
  tenant.finish(id);
  await untilLogged(log, 'subscription ended', 'operation', 'upstream refused a request');
  await gateway.close();
  await untilLogged(log, 'started', 'shutting down');
  await untilLogged(log, 'upstream sent an unknown enum value');
});

const HEAD = 'POST /graphql HTTP/1.1\r\nHost: localhost\r\n';

/** What the client is told. */
async function readRefusal(connection: Awaited<ReturnType<typeof openConnection>>) {
  const { status, body } = await connection.answer();
  return { status, reason: JSON.parse(body).errors[0].message as string };
}

function unreadableIn(log: CapturedLog) {
  return log.lines
    .filter(({ message }) => message === 'a request could not be read')
    .map(({ status, reason }) => ({ status, reason }));
}

test('what cannot be read as a request is logged with what the client is told', async t => {
  const { log, url } = await start(t);
  const refused = [];
  for (const text of [
    'no HTTP\r\n\r\n',
    `${HEAD}Authorization: Bearer ${'x'.repeat(20_000)}\r\n\r\n`,
    `${HEAD}Transfer-Encoding: chunked\r\n\r\n1;${'x'.repeat(20_000)}\r\n`,
  ]) {
    const connection = await openConnection(t, url);
    connection.write(text);
    refused.push(await readRefusal(connection));
  }
  const cut = await openConnection(t, url);
  cut.socket.end(HEAD);
  refused.push(await readRefusal(cut));
  assert.deepEqual(
    refused.map(({ status }) => status),
    [400, 431, 413, 400],
  );
  assert.equal(refused.at(-1)?.reason, 'The request ended before it was whole.');
  assert.deepEqual(unreadableIn(log), refused);
});

test('a request that comes too slowly is logged, and a connection without one is not', async t => {
  const { log, url } = await start(t, { env: { CLIENT_TIMEOUT_MS: '200' } });
  const silent = await openConnection(t, url);
  const slow = await openConnection(t, url);
  slow.write(HEAD);
  const refusal = await readRefusal(slow);
  assert.equal(refusal.status, 408);
  await until(silent.hasEnded);
  assert.deepEqual(unreadableIn(log), [refusal]);
});

test('polls that fail are logged, of tasks and of lists', async t => {
  const { log, url, tenant, sandbox } = await start(t);
  const events = subscribe(t, 'sse', url, PROGRESS, { id: tenant.addTask() });
  await events.next();
  let isListPolled = false;
  const changes = subscribe(t, 'sse', url, 'subscription { taskStatusChanged { kind } }');
  void changes.next().then(() => (isListPolled = true));
  // Tasks that are older than the watch are no change.
  await until(() => {
    if (!isListPolled) tenant.addTask();
    return isListPolled;
  });
  sandbox.faults.order({ fault: { kind: 'status', status: 400 } });
  await untilLogged(log, 'a poll of tasks failed', 'a poll of a list failed');
});

test('a pause of the budget is logged at its start and its end', async t => {
  const { log, query, sandbox } = await start(t);
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '1' }, times: 1 });
  await query(LIST);
  await untilLogged(log, 'the budget is no longer paused');
  const messages = log.lines.map(({ message }) => message);
  const from = messages.indexOf('the budget is paused: upstream answered 429');
  assert.ok(from >= 0 && from < messages.indexOf('the budget is no longer paused'));
});

test('an upstream that fails and comes back is logged, and so is the circuit breaker', async t => {
  const { log, query, sandbox, gateway } = await start(t, { env: { OPERATION_TIMEOUT_MS: '500' } });
  const isLogged = (message: string) => log.lines.some(line => line.message === message);
  sandbox.faults.order({ fault: { kind: 'drop' } });
  while (!isLogged('circuit breaker opened: upstream fails')) await query(LIST);
  while ((await gateway.checkReadiness()).status === 'ready');
  sandbox.faults.clear();
  while (!isLogged('circuit breaker closed: upstream answers again')) await query(LIST);
  assert.equal((await gateway.checkReadiness()).status, 'ready');
  await untilLogged(log, 'an attempt at upstream failed', 'not ready', 'ready');
});

test('credentials that upstream refuses are logged once, however many callers ask', async t => {
  const { log, query } = await start(t, { env: { SAIL_CLIENT_SECRET: 'wrong' } });
  for (const _ of [1, 2, 3]) await query(LIST);
  const lines = log.lines.filter(({ message }) =>
    message.startsWith('upstream refuses the client'),
  );
  assert.equal(lines.length, 1);
});

test('Redis and the leases are logged', { skip: WITHOUT_OWN_REDIS }, async t => {
  const redis = await startRedis(t);
  const sandbox = await startSandbox(t);
  const { log, url } = await start(t, { over: sandbox, env: { REDIS_URL: redis.url } });
  const events = subscribe(t, 'sse', url, PROGRESS, { id: sandbox.tenant.addTask() });
  await events.next();
  await untilLogged(log, 'lease taken: this instance polls');
  await redis.kill();
  await untilLogged(
    log,
    'Redis is disconnected; this instance continues without it',
    'Redis cannot be used; continuing without it',
  );
  await redis.start();
  await untilLogged(log, 'Redis is back; instances share their state again');
  await events.return?.();
  await untilLogged(log, 'lease lost or given up');
});

test('keys that cannot be fetched, and an account aggregation that may not be read, are logged', async t => {
  const keys = {
    JWKS_URL: 'http://127.0.0.1:1/keys',
    JWT_ISSUER: 'https://issuer.example',
    JWT_AUDIENCE: 'us',
  };
  const verifying = await start(t, { env: keys });
  const parts = ['{"alg":"RS256","kid":"1"}', '{}', 'signature'];
  const token = parts.map(part => Buffer.from(part).toString('base64url')).join('.');
  await verifying.query(LIST, {}, { authorization: `Bearer ${token}` });
  await untilLogged(verifying.log, 'the keys of an issuer cannot be fetched');

  const { log, url, tenant, sandbox } = await start(t);
  const id = tenant.addTask({
    definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
    queueMs: 0,
    runMs: 86_400_000,
  });
  const query = `subscription {
    taskProgress(id: "${id}") { accountAggregation { processedAccounts } }
  }`;
  await subscribe(t, 'sse', url, query).next();
  const fault = { kind: 'status', status: 403 } as const;
  sandbox.faults.order({ fault, route: 'aggregation' });
  await untilLogged(log, 'polls of an account aggregation fail');
});

test('a start without Redis is logged', { skip: WITHOUT_OWN_REDIS }, async t => {
  const port = await freePort();
  const { log } = await start(t, { env: { REDIS_URL: `redis://127.0.0.1:${port}` } });
  await untilLogged(log, 'Redis cannot be used; starting without it');
  const redis = await spawnRedis({ port });
  t.after(() => redis.kill());
  await untilLogged(log, 'Redis is back; instances share their state again');
});

/**
 * Lines of bugs, and some that have tests of their own (traces.test.ts, callback.test.ts,
 * main.test.ts, log-without-space.test.ts).
 */
const ELSEWHERE = [
  'unexpected error',
  'a watch failed unexpectedly',
  'a message from another instance could not be read',
  'the process ends because of an uncaught exception',
  'traces cannot be sent to the collector',
  'traces are sent to the collector again',
  'an event could not be sent to a callback',
  'lines of the log were lost, because they could not be written',
  'SAIL_BASE_URL is not set: all tasks are invented by the embedded sandbox tenant',
];

test('docs/operating.md names every line that was logged, and each one that it names was logged', () => {
  assert.deepEqual(
    [...seen].filter(message => !DOCUMENTED.includes(message)),
    [],
  );
  assert.deepEqual(
    DOCUMENTED.filter(message => !seen.has(message)).toSorted(),
    ELSEWHERE.toSorted(),
  );
});

test('docs/operating.md names every line that the sources can log', () => {
  const folder = new URL('../../src/', import.meta.url);
  const messages = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.ts') && !/^(sandbox|browser)\//.test(file))
    .flatMap(file => messagesIn(readFileSync(new URL(file, folder), 'utf8')));
  assert.ok(messages.length > 25);
  assert.deepEqual(
    messages.filter(message => !DOCUMENTED.includes(message)),
    [],
  );
});

/** The messages of calls of the log: the last argument, or both where that is a choice of two. */
function messagesIn(source: string): string[] {
  return [...source.matchAll(/\blog\.(?:debug|info|warn|error)\(([^]*?)\)(?=[;,)])/g)].flatMap(
    ([, call = '']) => {
      const [, one, other] = LAST_TEXTS.exec(call) ?? [];
      return [one, other].flatMap(text => text?.slice(1, -1) ?? []);
    },
  );
}
