import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { type LogLine, createCapturedLog } from '../support/captured-log.ts';
import { scrape } from '../support/exposition.ts';
import { HandClock } from '../support/hand-clock.ts';
import { startHeldRequests } from '../support/held-requests.ts';
import { sendRequest } from '../support/raw-request.ts';
import { type StartOptions, fetchToken, startGateway, startSandbox } from '../support/start.ts';
import { until } from '../support/until.ts';

// The same queries of one credential that are under way at the same time are executed once.

const RUNNING = { queueMs: 0, runMs: 3_600_000 };
const STATE = 'query State($id: ID!) { taskStatus(id: $id) { id state } }';
const BOTH =
  'query ($a: ID!, $b: ID!) { a: taskStatus(id: $a) { state } b: taskStatus(id: $b) { id } }';
const LIST = '{ taskStatuses { nodes { id uniqueName state elapsedSeconds } } }';
const UPDATE = `mutation ($id: ID!) {
  updateTaskStatus(input: { id: $id, completionStatus: TERMINATED }) { taskStatus { id } } }`;

/** A gateway whose upstream requests wait while the test wants that. */
async function start(t: TestContext, options: StartOptions = {}) {
  const clock = new HandClock();
  const sandbox = await startSandbox(t, { clock, rateLimit: Infinity });
  const upstream = await startHeldRequests(t, sandbox.url);
  const over = { ...sandbox, url: upstream.url };
  const gateway = await startGateway(t, { clock, ...options, over });
  /**
   * How often memory was asked. Each execution of a query asks once for each task and list,
   * whatever it has.
   */
  const asked = async (kind: 'task' | 'list' | 'response') => {
    const { samples } = await scrape(new URL('/metrics', gateway.url).href);
    return samples
      .filter(
        ({ name, labels }) => name.endsWith('memory_lookups_total') && labels['kind'] === kind,
      )
      .reduce((sum, { value }) => sum + value, 0);
  };
  /** Sends operations one after another, each once the gateway has begun the one before. */
  const begin = async <T>(...sends: (() => Promise<T>)[]) => {
    const answers: Promise<T>[] = [];
    for (const send of sends) {
      const before = await asked('response');
      answers.push(send());
      await until(async () => (await asked('response')) > before);
    }
    return answers;
  };
  /** How often an operation is executed that is sent twice, while the first waits for upstream. */
  const executions = async (
    kind: 'task' | 'list',
    first: () => Promise<unknown>,
    second = first,
  ) => {
    // Only documents that are known are shared.
    await first();
    const before = await asked(kind);
    upstream.hold();
    const answers = await begin(first);
    await upstream.waiting(1);
    answers.push(...(await begin(second)));
    upstream.release();
    await Promise.all(answers);
    return (await asked(kind)) - before;
  };
  return { ...gateway, clock, sandbox, upstream, asked, begin, executions };
}

test('the same queries that are under way at the same time are executed once', async t => {
  const { tenant, query, asked, begin, upstream } = await start(t);
  const [id] = tenant.addTasks(30, { ...RUNNING });
  const stateOf = () => query(STATE, { id });
  const list = () => query(LIST);
  await Promise.all([stateOf(), list()]);
  const before = { task: await asked('task'), list: await asked('list') };
  upstream.hold();
  const answers = await begin(stateOf, list, stateOf, list, stateOf, list);
  upstream.release();
  const results = await Promise.all(answers);
  for (const [place, result] of results.entries()) {
    assert.equal(result.errors, undefined);
    assert.deepEqual(result, results[place % 2]);
  }
  assert.equal((await asked('task')) - before.task, 1);
  assert.equal((await asked('list')) - before.list, 1);

  tenant.finish(id as string);
  assert.equal((await stateOf()).data.taskStatus.state, 'COMPLETED');
});

test('a shared response is the same in each type and coding', async t => {
  const { tenant, url, query, asked, begin, upstream } = await start(t);
  tenant.addTasks(60, { ...RUNNING });
  await query(LIST);
  const before = await asked('list');
  const decoders = { identity: (body: Buffer) => body, gzip: gunzipSync, br: brotliDecompressSync };
  const forms = ['application/json', 'application/graphql-response+json'].flatMap(accept =>
    (['gzip', 'br', 'identity', 'gzip'] as const).map(coding => ({ accept, coding })),
  );
  upstream.hold();
  const answers = await begin(
    ...forms.map(
      ({ accept, coding }) =>
        () =>
          sendRequest(url, {
            method: 'POST',
            headers: { 'content-type': 'application/json', accept, 'accept-encoding': coding },
            body: JSON.stringify({ query: LIST, variables: {} }),
          }),
    ),
  );
  upstream.release();
  const texts = new Set<string>();
  for (const [place, { accept, coding }] of forms.entries()) {
    const { status, headers, body } = await (answers[place] as (typeof answers)[0]);
    assert.equal(status, 200);
    assert.equal(headers['content-type'], `${accept}; charset=utf-8`);
    assert.equal(headers['content-encoding'] ?? 'identity', coding);
    assert.equal(headers['content-length'], String(body.length));
    texts.add(decoders[coding](body).toString());
  }
  assert.equal(texts.size, 1);
  assert.equal((await asked('list')) - before, 1);
});

test('only the same body of a query shares a response, without a hash to register', async t => {
  const { tenant, url, query, executions } = await start(t);
  const [id, other] = tenant.addTasks(2, RUNNING);
  assert.equal(await executions('task', () => query(STATE, { id })), 1);
  const otherTask = () => query(STATE, { id: other });
  assert.equal(await executions('task', () => query(STATE, { id }), otherTask), 2);

  const sha256Hash = createHash('sha256').update(STATE).digest('hex');
  const send = (members: object) => async () => {
    const extensions = { persistedQuery: { version: 1, sha256Hash } };
    const headers = { 'content-type': 'application/json' };
    const body = JSON.stringify({ ...members, variables: { id }, extensions });
    const response = await fetch(url, { method: 'POST', headers, body });
    assert.ok(((await response.json()) as { data?: unknown }).data);
  };
  assert.equal(await executions('task', send({ query: STATE })), 2);
  assert.equal(await executions('task', send({})), 1);
});

test('a query that bypasses memory shares no response', async t => {
  const { tenant, query, requests, asked, upstream, begin } = await start(t);
  const id = tenant.addTask(RUNNING);
  const usual = () => query(STATE, { id });
  const fresh = () => query(STATE, { id }, { 'cache-control': 'no-cache' });
  await usual();

  upstream.hold();
  let before = await asked('task');
  const answers = [fresh()];
  await upstream.waiting(1);
  answers.push(...(await begin(usual)));
  upstream.release();
  await Promise.all(answers);
  assert.equal((await asked('task')) - before, 1);

  upstream.hold();
  before = requests().length;
  const others = await begin(usual);
  await upstream.waiting(1);
  others.push(fresh());
  await upstream.waiting(2);
  upstream.release();
  await Promise.all(others);
  assert.equal(requests().length - before, 2);
});

const TASK_AND_LIST = `query ($id: ID!) { taskStatus(id: $id) { id } taskStatuses { nodes { id } } }`;
const isById = (target: string) => target.includes('filters=id%20');
const isList = (target: string) => !isById(target);
for (const [part, document, accepts] of [
  ['task', STATE, isById],
  ['list', '{ taskStatuses { nodes { state } } }', isList],
] as const)
  for (const isJoined of [false, true])
    test(`no query shares the response to one that has a ${part} already, ${isJoined ? 'which another query asked for' : 'which it asked for'}`, async t => {
      const { tenant, query, asked, begin, upstream } = await start(t);
      const id = tenant.addTask(RUNNING);
      const both = () => query(TASK_AND_LIST, { id });
      const one = () => query(document, { id });
      await Promise.all([both(), one()]);
      const before = await asked('task');
      upstream.hold();
      const answers = await begin(isJoined ? one : both);
      await upstream.waiting(isJoined ? 1 : 2);
      answers.push(...(await begin(isJoined ? both : one)));
      await upstream.waiting(2);
      upstream.pass(accepts);
      // Then the other query has it too.
      await answers[isJoined ? 0 : 1];
      const asks = part === 'task' ? 2 : 1;
      assert.equal((await asked('task')) - before, asks);
      answers.push(...(await begin(both)));
      await until(async () => (await asked('task')) - before === asks + 1);
      upstream.release();
      for (const { errors } of await Promise.all(answers)) assert.equal(errors, undefined);
    });

test('no query shares the response to one that has something from memory', async t => {
  const { tenant, clock, query, asked, begin, upstream } = await start(t, {
    env: { MAX_STALENESS_MS: '1000' },
  });
  const [a, b] = tenant.addTasks(2, RUNNING);
  const both = () => query(BOTH, { a, b });
  await both();
  clock.advance(1_000);
  await query(STATE, { id: a });
  const before = await asked('task');
  upstream.hold();
  const answers = await begin(both);
  await upstream.waiting(1);
  answers.push(...(await begin(both)));
  upstream.release();
  await Promise.all(answers);
  assert.equal((await asked('task')) - before, 4);
});

test('no query shares the response to one that depends on when it began', async t => {
  const { query, executions } = await start(t);
  const document =
    'query ($lt: DateTime!) { taskStatuses(filter: { created: { lt: $lt } }) { totalCount } }';
  const count = () => query(document, { lt: '2100-01-01T00:00:00Z' });
  assert.equal(await executions('list', count), 2);
});

test('after a write, no query shares the response to one from before it', async t => {
  const { tenant, query, asked, begin, upstream } = await start(t);
  const [id, other] = tenant.addTasks(2, RUNNING);
  await query(STATE, { id });
  const state = () => query(STATE, { id });
  upstream.hold();
  const before = await asked('task');
  const answers = await begin(state);
  await upstream.waiting(1);
  const written = query(UPDATE, { id: other });
  await upstream.waiting(2);
  upstream.pass(target => target.includes(other as string) && !isById(target));
  assert.equal((await written).errors, undefined);
  answers.push(...(await begin(state)));
  upstream.release();
  await Promise.all(answers);
  assert.equal((await asked('task')) - before, 2);
});

test('once a task is known to have changed, no query shares the response to one from before that', async t => {
  const { tenant, clock, query, asked, begin, upstream } = await start(t, {
    env: { MAX_STALENESS_MS: '1000' },
  });
  const id = tenant.addTask(RUNNING);
  const list = () => query(LIST);
  await list();
  clock.advance(1_000);
  const before = await asked('list');
  upstream.hold();
  const answers = await begin(list);
  await upstream.waiting(1);
  clock.advance(10);
  tenant.finish(id);
  const fresh = query(STATE, { id }, { 'cache-control': 'no-cache' });
  await upstream.waiting(2);
  upstream.pass(isById);
  assert.equal((await fresh).data.taskStatus.state, 'COMPLETED');
  answers.push(...(await begin(list)));
  upstream.release();
  await Promise.all(answers);
  assert.equal((await asked('list')) - before, 2);
});

test('a caller who may not read the schema shares no response with one who may', async t => {
  const { tenant, query, begin, upstream } = await start(t, {
    env: { ROUTER_SECRET: 'only the router knows it', INTROSPECTION: 'false' },
  });
  const id = tenant.addTask(RUNNING);
  const document = 'query ($id: ID!) { taskStatus(id: $id) { id } _service { sdl } }';
  const router = () =>
    query(document, { id }, { 'router-authorization': 'only the router knows it' });
  const other = () => query(document, { id });
  await router();
  upstream.hold();
  const answers = await begin(router);
  await upstream.waiting(1);
  answers.push(...(await begin(other)));
  upstream.release();
  const [trusted, refused] = await Promise.all(answers);
  assert.match(trusted?.data._service.sdl, /type TaskStatus/);
  assert.equal(refused?.errors?.[0]?.extensions.code, 'FORBIDDEN');
});

test('a response with errors is not shared: each query is executed, once', async t => {
  const { tenant, sandbox, query, asked, begin, upstream } = await start(t);
  const id = tenant.addTask(RUNNING);
  const state = () => query(STATE, { id });
  await state();
  const before = await asked('task');
  upstream.hold();
  const answers = await begin(state, state, state);
  await upstream.waiting(1);
  sandbox.faults.order({
    fault: { kind: 'row', mutation: 'created-unreadable', all: true },
    times: 1,
  });
  upstream.release();
  const [first, ...others] = await Promise.all(answers);
  assert.equal(first?.errors?.length, 1);
  for (const { data, errors } of others) {
    assert.equal(errors, undefined);
    assert.equal(data.taskStatus.id, id);
  }
  assert.equal((await asked('task')) - before, 3);
});

/** A query whose client can leave. */
function createLeaving(url: string, id: string) {
  const client = new AbortController();
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify({ query: STATE, variables: { id } });
  const send = () => fetch(url, { method: 'POST', headers, body, signal: client.signal });
  return { send, leave: () => client.abort() };
}

test('those who share a response are answered though the first client leaves', async t => {
  const { tenant, query, asked, begin, upstream, url } = await start(t);
  const id = tenant.addTask(RUNNING);
  const state = () => query(STATE, { id });
  await state();
  const before = await asked('task');
  upstream.hold();
  const leaving = createLeaving(url, id);
  const [left] = await begin(leaving.send);
  await upstream.waiting(1);
  const answers = await begin(state, state);
  leaving.leave();
  await assert.rejects(left as Promise<unknown>);
  await until(async () => (await asked('task')) - before === 3);
  upstream.release();
  for (const { data } of await Promise.all(answers)) assert.equal(data.taskStatus.id, id);
  assert.equal((await asked('task')) - before, 3);
});

test('no query waits for one that has ended, with or without a response', async t => {
  const { tenant, query, asked, begin, upstream, url } = await start(t);
  const id = tenant.addTask(RUNNING);
  const state = () => query(STATE, { id });
  await state();
  for (const _ of [1, 2, 3]) assert.equal((await query('{ __typename }')).data.__typename, 'Query');

  const before = await asked('task');
  upstream.hold();
  const leaving = createLeaving(url, id);
  const [left] = await begin(leaving.send);
  await upstream.waiting(1);
  leaving.leave();
  await assert.rejects(left as Promise<unknown>);
  const [answer] = await begin(state);
  await until(async () => (await asked('task')) - before === 2);
  upstream.release();
  assert.equal((await answer)?.data.taskStatus.id, id);
});

test('one who shares a response and leaves is logged at once, and the others are answered', async t => {
  const log = createCapturedLog();
  const { tenant, query, asked, begin, upstream, url } = await start(t, { log });
  const id = tenant.addTask(RUNNING);
  const state = () => query(STATE, { id });
  await state();
  const before = await asked('task');
  upstream.hold();
  const leaving = createLeaving(url, id);
  const answers = await begin(state);
  await upstream.waiting(1);
  const [left] = await begin(leaving.send);
  answers.push(...(await begin(state)));
  leaving.leave();
  await assert.rejects(left as Promise<unknown>);
  const lines = () => log.lines.filter(({ message }) => message === 'operation');
  await until(() => lines().length === 2);
  assert.deepEqual(lines()[1]?.['codes'], ['ABORTED']);
  assert.equal(lines()[1]?.['name'], 'State');
  upstream.release();
  for (const { data } of await Promise.all(answers)) assert.equal(data.taskStatus.id, id);
  assert.equal((await asked('task')) - before, 1);
  assert.equal(lines().length, 4);
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'error'),
    [],
  );
});

test('a query that shares a response is logged as the first one is, for the time that it took', async t => {
  const log = createCapturedLog();
  const { tenant, sandbox, clock, query, begin } = await start(t, { log });
  const id = tenant.addTask(RUNNING);
  const state = () => query(STATE, { id });
  await state();
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '1' }, times: 1 });
  const answers = await begin(state);
  await until(() => log.lines.some(({ message }) => message.startsWith('the budget is paused')));
  clock.advance(400);
  answers.push(...(await begin(state)));
  clock.advance(600);
  await Promise.all(answers);
  const [, first, second] = log.lines.filter(({ message }) => message === 'operation');
  assert.deepEqual(
    { ...first, requestId: '' },
    { ...second, requestId: '', durationMs: 1_000, budgetWaitMs: 1_000 },
  );
  const { name, durationMs, budgetWaitMs, upstreamRequests } = second as LogLine;
  assert.deepEqual([name, durationMs, budgetWaitMs, upstreamRequests], ['State', 600, 600, 2]);
});

test('a query that shares a response after the first has waited for the budget has no such wait', async t => {
  const log = createCapturedLog();
  const { tenant, sandbox, clock, query, begin, upstream } = await start(t, { log });
  const id = tenant.addTask(RUNNING);
  const state = () => query(STATE, { id });
  await state();
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '1' }, times: 1 });
  const answers = await begin(state);
  await until(() => log.lines.some(({ message }) => message.startsWith('the budget is paused')));
  upstream.hold();
  clock.advance(1_000);
  await upstream.waiting(1);
  answers.push(...(await begin(state)));
  clock.advance(600);
  upstream.release();
  await Promise.all(answers);
  const lines = log.lines.filter(({ message }) => message === 'operation').slice(1);
  assert.deepEqual(
    lines.map(line => [line['durationMs'], line['budgetWaitMs']]),
    [
      [1_600, 1_000],
      [600, 0],
    ],
  );
});

test('credentials share no response', async t => {
  const { tenant, sandbox, query, executions } = await start(t, {
    env: { AUTH_MODE: 'passthrough' },
  });
  const id = tenant.addTask(RUNNING);
  const authorization = async () => ({ authorization: `Bearer ${await fetchToken(sandbox)}` });
  const callers = [await authorization(), await authorization()];
  const [one, other] = callers.map(headers => () => query(STATE, { id }, headers)) as [
    () => Promise<unknown>,
    () => Promise<unknown>,
  ];
  await other();
  assert.equal(await executions('task', one, other), 2);
  assert.equal(await executions('task', one), 1);
});

test('those who share a response do not count as running operations', async t => {
  const { tenant, query, begin, upstream } = await start(t, { env: { MAX_OPERATIONS: '1' } });
  const id = tenant.addTask(RUNNING);
  const state = () => query(STATE, { id });
  await state();
  upstream.hold();
  const answers = await begin(state, state, state);
  upstream.release();
  for (const { errors } of await Promise.all(answers)) assert.equal(errors, undefined);
});
