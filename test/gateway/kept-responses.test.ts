import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type TestContext, test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { systemClock } from '../../src/clock.ts';
import { createCapturedLog } from '../support/captured-log.ts';
import { scrape } from '../support/exposition.ts';
import { HandClock } from '../support/hand-clock.ts';
import { sendRequest } from '../support/raw-request.ts';
import { type StartOptions, fetchToken, startGateway } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

// A response whose parts all come from memory is kept as it was sent, and sent again for the same
// operation.

const RUNNING = { queueMs: 0, runMs: 3_600_000 };
const STATE = 'query State($id: ID!) { taskStatus(id: $id) { id state } }';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { state } }';
const LIST = '{ taskStatuses { nodes { id uniqueName state } } }';

async function start(t: TestContext, options: StartOptions = {}) {
  const clock = new HandClock();
  const env = { MAX_STALENESS_MS: '1000', ...options.env };
  const gateway = await startGateway(t, { clock, ...options, env });
  /** How many responses were sent that had been sent before. */
  const repeated = async () => {
    const { samples } = await scrape(new URL('/metrics', gateway.url).href);
    const hit = samples.find(
      ({ name, labels }) =>
        name.endsWith('memory_lookups_total') &&
        labels['kind'] === 'response' &&
        labels['result'] === 'hit',
    );
    return hit?.value ?? 0;
  };
  /** The same operation twice: whether the second response is the first one again. */
  const isKept = async (query: string, variables = {}, headers = {}) => {
    const before = await repeated();
    const first = await gateway.query(query, variables, headers);
    const second = await gateway.query(query, variables, headers);
    const count = (await repeated()) - before;
    if (count > 0) assert.deepEqual(second, first);
    return count > 0;
  };
  return { ...gateway, clock, repeated, isKept };
}

test('a response is sent again to who asks the same, for as long as each of its parts may be', async t => {
  const { clock, tenant, query, repeated, requests } = await start(t);
  const id = tenant.addTask(RUNNING);
  const first = await query(STATE, { id });
  clock.advance(600);
  const list = await query(LIST);
  assert.deepEqual(await query(STATE, { id }), first);
  assert.deepEqual(await query(LIST), list);
  assert.equal(await repeated(), 2);
  assert.equal(requests().length, 2);

  // The list is still fresh, and has the task too.
  clock.advance(600);
  assert.deepEqual(await query(STATE, { id }), first);
  assert.equal(await repeated(), 2);
  assert.equal(requests().length, 2);
  // What is kept now is as old as the list.
  clock.advance(500);
  tenant.finish(id);
  assert.equal((await query(STATE, { id })).data.taskStatus.state, 'COMPLETED');
  assert.equal(await repeated(), 2);
});

test('the response is the same however it was asked for: variables, name, type and coding of the answer', async t => {
  const { tenant, url, repeated } = await start(t);
  const ids = tenant.addTasks(60, { ...RUNNING });
  const bodies = [
    JSON.stringify({ query: LIST }),
    JSON.stringify({ query: STATE, variables: { id: ids[0] } }),
    JSON.stringify({ query: STATE, variables: { id: ids[1] } }),
    JSON.stringify({
      query: `${STATE} query Other { taskStatuses { totalCount } }`,
      operationName: 'Other',
    }),
  ];
  const codings = { identity: (body: Buffer) => body, gzip: gunzipSync, br: brotliDecompressSync };
  for (const body of bodies) {
    const texts = new Set<string>();
    for (const accept of ['application/json', 'application/graphql-response+json'])
      for (const [coding, decode] of Object.entries(codings))
        for (const _ of [1, 2]) {
          const headers = { 'content-type': 'application/json', accept, 'accept-encoding': coding };
          const answer = await sendRequest(url, { method: 'POST', headers, body });
          assert.equal(answer.status, 200);
          assert.equal(answer.headers['content-type'], `${accept}; charset=utf-8`);
          assert.equal(answer.headers['content-length'], String(answer.body.length));
          const isEncoded = answer.headers['content-encoding'] !== undefined;
          texts.add((isEncoded ? decode(answer.body) : answer.body).toString());
        }
    assert.equal(texts.size, 1);
  }
  assert.equal(await repeated(), bodies.length * 11);
});

test('a response that depends on the time, on what the caller may see, or on what failed is not kept', async t => {
  const { clock, tenant, sandbox, isKept, query } = await start(t);
  const id = tenant.addTask({ ...RUNNING, definitionType: 'CLOUD_ACCOUNT_AGGREGATION' });
  assert.ok(await isKept(STATE, { id }));
  const task = (field: string) => `query ($id: ID!) { taskStatus(id: $id) { ${field} } }`;
  for (const [document, variables] of [
    [task('elapsedSeconds'), { id }],
    [task('estimatedCompletion'), { id }],
    [task('accountAggregation { status }'), { id }],
    [task('effectivePercentComplete'), { id }],
    ['{ taskStatuses { nodes { id } } _service { sdl } }', {}],
    ['{ __typename }', {}],
    [
      'query ($lt: DateTime!) { taskStatuses(filter: { created: { lt: $lt } }) { totalCount } }',
      { lt: '2100-01-01T00:00:00Z' },
    ],
    ['{ taskStatuses(first: 300) { nodes { id } } }', {}],
  ] as const)
    assert.equal(await isKept(document, variables), false, document);
  assert.equal(await isKept(LIST, {}, { 'cache-control': 'no-cache' }), false);

  const elapsed = async () =>
    (await query(task('elapsedSeconds'), { id })).data.taskStatus.elapsedSeconds;
  const before = await elapsed();
  clock.advance(500);
  assert.equal(await elapsed(), before + 0.5);

  clock.advance(1_000);
  sandbox.faults.order({
    fault: { kind: 'row', mutation: 'created-unreadable', all: true },
    times: 1,
  });
  const rows = await query(LIST);
  clock.advance(1_000);
  assert.notDeepEqual(await query(LIST), rows);
});

test('a response with times is kept if no task of it is running', async t => {
  const { clock, tenant, isKept } = await start(t);
  tenant.finish(tenant.addTask(RUNNING));
  const list = '{ taskStatuses { nodes { elapsedSeconds estimatedCompletion } } }';
  assert.equal(await isKept(list, {}, { 'cache-control': 'no-cache' }), false);
  assert.equal(await isKept(list), true);
  tenant.addTask(RUNNING);
  clock.advance(1_000);
  assert.equal(await isKept(list), false);
});

test('after a write, by any caller, no response from before it is sent', async t => {
  const { clock, tenant, sandbox, query } = await start(t, {
    env: { AUTH_MODE: 'passthrough', MAX_STALENESS_MS: '60000' },
  });
  const id = tenant.addTask(RUNNING);
  const callers = await Promise.all(
    [1, 2].map(async () => ({ authorization: `Bearer ${await fetchToken(sandbox)}` })),
  );
  const stateFor = async (headers: object) =>
    (await query(STATE, { id }, { ...headers })).data.taskStatus.state;
  for (const headers of callers) assert.equal(await stateFor(headers), 'RUNNING');
  clock.advance(10);
  const update = `mutation ($id: ID!) { updateTaskStatus(input: { id: $id, completionStatus: TERMINATED }) { taskStatus { id } } }`;
  assert.equal((await query(update, { id }, callers[0])).errors, undefined);
  for (const headers of callers) assert.equal(await stateFor(headers), 'COMPLETED');
});

test('once a caller may know that a task has changed, no response from before that is sent', async t => {
  const env = { MAX_STALENESS_MS: '60000' };
  const { tenant, query, url } = await start(t, { env, clock: systemClock });
  const state = async (id: string) => (await query(STATE, { id })).data.taskStatus.state;
  const change = async (id: string, see: () => Promise<unknown>) => {
    assert.equal(await state(id), 'RUNNING');
    tenant.finish(id);
    await see();
    assert.equal(await state(id), 'COMPLETED');
  };
  const [listed, read, followed] = tenant.addTasks(3, RUNNING) as [string, string, string];
  await change(listed, () => query(LIST));
  await change(read, () => query(`${STATE} `, { id: read }, { 'cache-control': 'no-cache' }));
  const events = subscribe(t, 'sse', url, PROGRESS, { id: followed });
  await events.next();
  await change(followed, async () => {
    for await (const { data } of events) if (data.taskProgress.state === 'COMPLETED') break;
  });
});

test('no response is sent to another credential, and none without one', async t => {
  const { tenant, sandbox, query, repeated, requests } = await start(t, {
    env: { AUTH_MODE: 'passthrough' },
  });
  const id = tenant.addTask(RUNNING);
  const own = { authorization: `Bearer ${await fetchToken(sandbox)}` };
  const other = { authorization: `Bearer ${await fetchToken(sandbox)}` };
  await query(STATE, { id }, own);
  const asked = requests().length;
  await query(STATE, { id }, other);
  assert.equal(requests().length, asked + 1);
  assert.equal(await repeated(), 0);
  assert.equal((await query(STATE, { id })).errors?.[0]?.extensions.code, 'UNAUTHENTICATED');
  const unknown = await query(STATE, { id }, { authorization: 'Bearer unknown' });
  assert.equal(unknown.data?.taskStatus ?? null, null);
  assert.equal(unknown.errors?.[0]?.extensions.code, 'UNAUTHENTICATED');
});

test('an operation whose response is sent again is logged as the first one was', async t => {
  const log = createCapturedLog();
  const { tenant, query } = await start(t, { log });
  const id = tenant.addTask(RUNNING);
  for (const _ of [1, 2]) await query(STATE, { id });
  const [first, second] = log.lines.filter(({ message }) => message === 'operation');
  assert.deepEqual(
    { ...second, durationMs: 0, requestId: '', upstreamRequests: 1, budgetWaitMs: 0 },
    { ...first, durationMs: 0, requestId: '', budgetWaitMs: 0 },
  );
  assert.equal((second as { upstreamRequests?: number }).upstreamRequests, 0);
});

test('a client that leaves before its response leaves a line in the log, and no error', async t => {
  const log = createCapturedLog();
  const { tenant, query, sandbox, url } = await start(t, { log, clock: systemClock });
  const id = tenant.addTask(RUNNING);
  await query(STATE, { id });
  sandbox.faults.order({ fault: { kind: 'latency', ms: 60_000 } });
  const asked = sandbox.journal.requests.length;
  const client = new AbortController();
  const headers = { 'content-type': 'application/json', 'cache-control': 'no-cache' };
  const body = JSON.stringify({ query: STATE, variables: { id } });
  const answer = fetch(url, { method: 'POST', headers, body, signal: client.signal });
  await until(() => sandbox.journal.requests.length > asked);
  client.abort();
  await assert.rejects(answer);
  await until(() => log.lines.some(line => JSON.stringify(line).includes('ABORTED')));
  assert.deepEqual(
    log.lines.filter(({ level }) => level === 'error'),
    [],
  );
});

test('the hash of a document is registered though its response is repeated', async t => {
  const { tenant, sandbox, query, url } = await start(t, { env: { AUTH_MODE: 'passthrough' } });
  const id = tenant.addTask(RUNNING);
  const authorization = `Bearer ${await fetchToken(sandbox)}`;
  const sha256Hash = createHash('sha256').update(STATE).digest('hex');
  const extensions = { persistedQuery: { version: 1, sha256Hash } };
  const send = async (members: object) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization },
      body: JSON.stringify({ ...members, variables: { id }, extensions }),
    });
    return (await response.json()) as { data?: unknown };
  };
  // The first time, upstream has not accepted the token yet, so nothing is registered.
  for (const _ of [1, 2]) assert.ok((await send({ query: STATE })).data);
  const { data } = await query(STATE, { id }, { authorization });
  assert.deepEqual((await send({})).data, data);
});

test('the length of a list is that of the moment in which its page was read', async t => {
  const { clock, tenant, query, requests, sandbox } = await start(t);
  tenant.addTasks(5, RUNNING);
  await query('{ taskStatuses(first: 10) { nodes { id } } }');
  clock.advance(10);
  tenant.addTasks(3, RUNNING);
  await query('{ taskStatuses { totalCount } }');
  const whole = '{ taskStatuses(first: 10) { totalCount nodes { id } pageInfo { hasNextPage } } }';
  const { data } = await query(whole);
  assert.equal(data.taskStatuses.totalCount, 8);
  assert.equal(data.taskStatuses.nodes.length, 8);

  // Where upstream does not count, that is known too.
  clock.advance(1_000);
  sandbox.faults.order({ fault: { kind: 'no-count' } });
  const asked = requests().length;
  for (const field of ['id', 'state', 'type'])
    await query(`{ taskStatuses(first: 10) { totalCount nodes { ${field} } } }`);
  assert.equal(requests().length, asked + 1);
});

test('a page of any length after a cursor costs one upstream request', async t => {
  const { clock, tenant, query, requests } = await start(t);
  for (let count = 0; count < 300; count++) {
    tenant.addTask(RUNNING);
    clock.advance(1);
  }
  const { data } = await query('{ taskStatuses(first: 2) { pageInfo { endCursor } } }');
  const { endCursor } = data.taskStatuses.pageInfo;
  for (const first of [100, 246, 247, 248]) {
    const before = requests().length;
    const next = `query ($after: String) { taskStatuses(first: ${first}, after: $after) { nodes { id } } }`;
    const page = await query(next, { after: endCursor });
    assert.equal(page.data.taskStatuses.nodes.length, first);
    assert.equal(requests().length, before + 1, `first: ${first}`);
    clock.advance(1_000);
  }
});

test('lists that differ only in what is selected of them cost one upstream request', async t => {
  const { clock, tenant, query, requests } = await start(t);
  tenant.addTasks(30, { ...RUNNING });
  const selections = [
    'nodes { id }',
    'nodes { id state }',
    'edges { cursor node { uniqueName } }',
    'nodes { id } pageInfo { hasNextPage }',
    'pageInfo { endCursor }',
  ];
  const lists = selections.map(selection => `{ taskStatuses(first: 10) { ${selection} } }`);
  for (const list of lists) await query(list);
  assert.equal(requests().length, 1);
  clock.advance(1_000);
  await Promise.all(lists.map(list => query(list)));
  assert.equal(requests().length, 2);

  // The count is only asked for where it is selected; then the page has it.
  clock.advance(1_000);
  await query('{ taskStatuses(first: 10) { totalCount nodes { id } } }');
  for (const list of lists) await query(list);
  await query('{ taskStatuses(first: 5) { totalCount nodes { id } } }');
  await query('{ taskStatuses { totalCount } }');
  assert.equal(requests().length, 3);
});
