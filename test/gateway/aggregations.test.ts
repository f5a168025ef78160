import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AggregationMutation } from '../../src/sandbox/aggregation-mutations.ts';
import { API_VERSIONS } from '../../src/upstream/versions.ts';
import { HandClock } from '../support/hand-clock.ts';
import { fetchToken, startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const AGGREGATION = {
  definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
  queueMs: 0,
  runMs: 100_000,
  reportsPercent: false,
  status: 'SUCCESS',
};
const OTHER = { ...AGGREGATION, definitionType: 'CLOUD_GROUP_AGGREGATION' };
const PROGRESS = `
  status rawStatus started totalAccounts processedAccounts
  totalAccountsMarkedForDeletion deletedAccounts totalIdentities processedIdentities percentComplete`;
const ONE = `query ($id: ID!) {
  taskStatus(id: $id) { id effectivePercentComplete accountAggregation { ${PROGRESS} } }
}`;
const LIST = '{ taskStatuses(first: 10) { nodes { id accountAggregation { status } } } }';
const PERCENT =
  'query ($id: ID!) { taskStatus(id: $id) { effectivePercentComplete estimatedCompletion } }';

const isAggregation = (request: string) => request.includes('account-aggregations');

async function start(
  t: Parameters<typeof startGateway>[0],
  options: Parameters<typeof startGateway>[1] = {},
) {
  const clock = new HandClock();
  const gateway = await startGateway(t, { clock, ...options });
  return { ...gateway, clock, asked: () => gateway.requests().filter(isAggregation) };
}

for (const version of API_VERSIONS)
  test(`${version}: an account aggregation shows its real progress while the task stays at 0 %, from beginning to end`, async t => {
    const { clock, tenant, query } = await start(t, { env: { UPSTREAM_API_VERSION: version } });
    const id = tenant.addTask(AGGREGATION);
    const read = async () => {
      const { data, errors } = await query(ONE, { id });
      assert.equal(errors, undefined);
      return data.taskStatus;
    };
    clock.advance(20_000);
    const { accountAggregation: collecting, effectivePercentComplete: first } = await read();
    assert.equal(collecting.status, 'STARTED');
    assert.equal(collecting.started, '2026-08-20T06:00:00.000Z');
    assert.deepEqual(
      [collecting.totalAccounts, collecting.processedAccounts, collecting.percentComplete, first],
      [null, null, null, 0],
    );
    clock.advance(40_000);
    const { accountAggregation: running, effectivePercentComplete: second } = await read();
    assert.equal(running.status, 'ACCOUNTS_COLLECTED');
    assert.equal(running.rawStatus, 'ACCOUNTS_COLLECTED');
    assert.ok(running.processedAccounts > 0 && running.processedAccounts < running.totalAccounts);
    assert.ok(running.percentComplete > 20 && running.percentComplete < 70);
    assert.equal(second, running.percentComplete);
    assert.equal(running.totalIdentities !== null, version === 'v1');
    clock.advance(50_000);
    const { accountAggregation: ended, effectivePercentComplete: last } = await read();
    assert.equal(ended.status, 'COMPLETED');
    assert.equal(ended.processedAccounts, ended.totalAccounts);
    assert.deepEqual([ended.percentComplete, last], [100, 100]);
    clock.advance(3_600_000);
    assert.equal((await read()).accountAggregation, null, 'an hour after the end');
  });

test('upstream is asked for an aggregation only where it is selected and the task is one, once for each', async t => {
  const { clock, tenant, query, asked } = await start(t, { sandbox: { seed: 3 } });
  const ids = tenant.addTasks(3, AGGREGATION);
  tenant.addTasks(4, OTHER);
  clock.advance(60_000);
  await query('{ taskStatuses { nodes { id effectivePercentComplete estimatedCompletion } } }');
  await query(`query ($with: Boolean = false) {
    taskStatuses { nodes { id accountAggregation @include(if: $with) { status } } }
  }`);
  assert.deepEqual(asked(), []);
  const { data } = await query(`{
    taskStatuses(first: 10) { nodes { id ...Progress } edges { node { again: accountAggregation { status } } } }
  }
  fragment Progress on TaskStatus { accountAggregation { status } }`);
  assert.equal(
    data.taskStatuses.nodes.filter((task: any) => task.accountAggregation !== null).length,
    3,
  );
  assert.deepEqual(
    asked().toSorted(),
    ids.map(id => `GET /account-aggregations/v1/${id}/status`).toSorted(),
  );
});

test('an answer is repeated for MAX_STALENESS_MS, that of a finished aggregation for as long as a finished task, and to no other credential', async t => {
  const { clock, sandbox, tenant, query, asked } = await start(t, {
    env: { MAX_STALENESS_MS: '1000', AUTH_MODE: 'passthrough' },
  });
  const id = tenant.addTask(AGGREGATION);
  clock.advance(60_000);
  const [one, other] = await Promise.all(
    [sandbox.client, sandbox.clients.add()].map(async client => ({
      authorization: `Bearer ${await fetchToken(sandbox, client)}`,
    })),
  );
  const costOf = async (headers: Record<string, string> | undefined) => {
    const before = asked().length;
    const { data } = await query(ONE, { id }, headers);
    assert.notEqual(data.taskStatus.accountAggregation, null);
    return asked().length - before;
  };
  assert.deepEqual([await costOf(one), await costOf(one), await costOf(other)], [1, 0, 1]);
  clock.advance(1_001);
  assert.deepEqual([await costOf(one), await costOf(one)], [1, 0]);
  clock.advance(60_000);
  assert.equal(await costOf(one), 1);
  clock.advance(59_000);
  assert.equal(await costOf(one), 0, 'it has ended');
  assert.equal(await costOf({ ...one, 'cache-control': 'no-cache' }), 1);
  clock.advance(60_001);
  assert.equal(await costOf(one), 1);
});

test('effectivePercentComplete uses an aggregation that is known already and never asks for one', async t => {
  const { clock, tenant, query, asked } = await start(t, { env: { MAX_STALENESS_MS: '1000' } });
  const id = tenant.addTask(AGGREGATION);
  clock.advance(60_000);
  const before = await query(PERCENT, { id });
  assert.deepEqual(before.data.taskStatus, {
    effectivePercentComplete: 0,
    estimatedCompletion: null,
  });
  assert.equal(asked().length, 0);
  const { data } = await query(ONE, { id });
  const { percentComplete } = data.taskStatus.accountAggregation;
  assert.ok(percentComplete > 0);
  const after = await query(PERCENT, { id });
  assert.equal(after.data.taskStatus.effectivePercentComplete, percentComplete);
  assert.notEqual(after.data.taskStatus.estimatedCompletion, null);
  assert.equal(asked().length, 1);
});

test('where upstream forbids the aggregation, the field alone is null, with FORBIDDEN', async t => {
  const { clock, sandbox, tenant, query } = await start(t, { env: { AUTH_MODE: 'passthrough' } });
  const ids = tenant.addTasks(2, AGGREGATION);
  clock.advance(60_000);
  const token = await fetchToken(sandbox, sandbox.clients.add({ level: 'HELPDESK' }));
  const { data, errors } = await query(LIST, {}, { authorization: `Bearer ${token}` });
  assert.deepEqual(
    data.taskStatuses.nodes.map((task: any) => [task.id, task.accountAggregation]).toSorted(),
    ids.map(id => [id, null]).toSorted(),
  );
  assert.deepEqual(
    errors?.map(({ path, extensions }) => [path, extensions['code']]),
    [0, 1].map(place => [['taskStatuses', 'nodes', place, 'accountAggregation'], 'FORBIDDEN']),
  );
});

const FAILURES: [what: string, fault: object, code: string][] = [
  ['fails', { kind: 'status', status: 500 }, 'UPSTREAM_UNAVAILABLE'],
  ['answers without JSON', { kind: 'malformed' }, 'UPSTREAM_INVALID_RESPONSE'],
  ['answers with a list', { kind: 'aggregation', mutation: 'list' }, 'UPSTREAM_INVALID_RESPONSE'],
  ['refuses the request', { kind: 'status', status: 400 }, 'BAD_USER_INPUT'],
];
for (const [what, fault, code] of FAILURES)
  test(`where upstream ${what}, the field alone is null, with ${code}`, async t => {
    const { sandbox, tenant, query } = await startGateway(t);
    const id = tenant.addTask(AGGREGATION);
    sandbox.faults.order({ fault: fault as never, route: 'aggregation' });
    const { data, errors } = await query(ONE, { id });
    assert.deepEqual(data.taskStatus, {
      id,
      effectivePercentComplete: 0,
      accountAggregation: null,
    });
    assert.deepEqual(
      errors?.map(({ path, extensions }) => [path, extensions['code']]),
      [[['taskStatus', 'accountAggregation'], code]],
    );
  });

const ODD: [mutation: AggregationMutation, shown: object][] = [
  ['status-missing', { status: 'UNKNOWN', rawStatus: '' }],
  ['status-new', { status: 'UNKNOWN', rawStatus: 'PAUSED' }],
  ['status-lower-case', { status: 'ACCOUNTS_COLLECTED', rawStatus: 'accounts_collected' }],
  ['start-unreadable', { started: null }],
  ['counts-missing', { totalAccounts: null, processedAccounts: null, percentComplete: null }],
  ['counts-null', { totalAccounts: null, deletedAccounts: null, percentComplete: null }],
  ['counts-text', {}],
  ['counts-negative', { totalAccounts: null, processedAccounts: null, percentComplete: null }],
  ['totals-zero', { totalAccounts: 0, totalIdentities: 0, percentComplete: null }],
  ['processed-over', { processedAccounts: 2_000_000_000 }],
  ['identities-missing', { totalIdentities: null, processedIdentities: null }],
];
test('an odd answer is served with its fallbacks, without an error', async t => {
  const { clock, sandbox, tenant, query } = await start(t);
  const id = tenant.addTask(AGGREGATION);
  clock.advance(60_000);
  const plain = (await query(ONE, { id })).data.taskStatus.accountAggregation;
  for (const [mutation, shown] of ODD) {
    sandbox.faults.order({
      fault: { kind: 'aggregation', mutation },
      route: 'aggregation',
      times: 1,
    });
    const { data, errors } = await query(ONE, { id });
    assert.equal(errors, undefined, mutation);
    const { percentComplete, ...read } = data.taskStatus.accountAggregation;
    for (const [field, expected] of Object.entries({ ...shown }))
      assert.equal(data.taskStatus.accountAggregation[field], expected, `${mutation}: ${field}`);
    assert.ok(percentComplete === null || (percentComplete >= 0 && percentComplete <= 100));
    if (mutation === 'counts-text') assert.deepEqual({ percentComplete, ...read }, plain);
  }
});

test('an operation that would ask for more aggregations than MAX_UPSTREAM_REQUESTS is refused before it asks', async t => {
  const { query, requests } = await startGateway(t, { env: { MAX_UPSTREAM_REQUESTS: '20' } });
  const listOf = (first: number) =>
    query(`{ taskStatuses(first: ${first}) { nodes { accountAggregation { status } } } }`);
  assert.equal((await listOf(19)).errors, undefined);
  const before = requests().length;
  const { errors } = await listOf(20);
  assert.equal(errors?.[0]?.extensions['code'], 'BAD_USER_INPUT');
  assert.match(errors?.[0]?.message ?? '', /needs 21 upstream requests/);
  assert.equal(requests().length, before);
});

test('where the budget is spent, aggregations are refused with RATE_LIMITED at their fields and the tasks are served', async t => {
  const { tenant, query, sandbox } = await startGateway(t, {
    sandbox: { rateLimit: 20, rateWindowMs: 60_000 },
    env: { UPSTREAM_RATE_LIMIT: '20', UPSTREAM_RATE_WINDOW_MS: '60000' },
  });
  tenant.addTasks(40, AGGREGATION);
  const { data, errors = [] } = await query(
    '{ taskStatuses(first: 40) { nodes { id accountAggregation { status } } } }',
  );
  const { nodes } = data.taskStatuses;
  assert.equal(nodes.length, 40);
  const served = nodes.filter((task: any) => task.accountAggregation !== null).length;
  assert.ok(served > 0 && served < 20, `${served} served`);
  assert.equal(errors.length, 40 - served);
  for (const { path, extensions } of errors) {
    assert.equal(path?.at(-1), 'accountAggregation');
    assert.equal(extensions['code'], 'RATE_LIMITED');
    assert.ok(extensions['retryAfterSeconds'] > 0);
  }
  assert.ok(sandbox.journal.requests.every(({ status }) => status !== 429));
});

test('a read goes before the aggregations that another operation waits for', async t => {
  const { tenant, query, requests } = await startGateway(t, {
    sandbox: { rateLimit: 10, rateWindowMs: 1_000 },
    env: { UPSTREAM_RATE_LIMIT: '10', UPSTREAM_RATE_WINDOW_MS: '1000' },
  });
  const ids = tenant.addTasks(40, AGGREGATION);
  let isOver = false;
  const many = query('{ taskStatuses(first: 40) { nodes { accountAggregation { status } } } }');
  void many.then(() => (isOver = true));
  const asked = () => requests().filter(isAggregation).length;
  await until(() => asked() > 5);
  const before = asked();
  for (const id of ids.slice(0, 5)) await query(PERCENT, { id });
  assert.equal(isOver, false);
  // Five reads wait for a slot each, and aggregations get at most every other one of them.
  assert.ok(asked() - before <= 8, `${asked() - before} aggregations in the time of five reads`);
  assert.equal((await many).errors, undefined);
});

test('a caller who disconnects aborts its requests for aggregations, and no others', async t => {
  const { sandbox, tenant, url, query } = await startGateway(t);
  const [own = '', shared = ''] = tenant.addTasks(2, AGGREGATION);
  sandbox.faults.order({ fault: { kind: 'latency', ms: 2_000 }, route: 'aggregation' });
  const requestsFor = (id: string) =>
    sandbox.journal.requests.filter(({ path }) => isAggregation(path) && path.includes(id));
  const staying = query(ONE, { id: shared });
  await until(() => requestsFor(shared).length === 1);
  const leaving = new AbortController();
  const gone = fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: LIST }),
    signal: leaving.signal,
  });
  await until(() => requestsFor(own).length === 1);
  leaving.abort();
  await assert.rejects(gone);
  await until(() => requestsFor(own).every(({ isClosed }) => isClosed));
  assert.deepEqual(
    requestsFor(own).map(({ status }) => status),
    [0],
    'closed without an answer',
  );
  assert.equal((await staying).data.taskStatus.accountAggregation.status, 'STARTED');
  assert.deepEqual(
    requestsFor(shared).map(({ status }) => status),
    [200],
  );
});
