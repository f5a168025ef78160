import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { AGGREGATION_MUTATIONS } from '../../src/sandbox/aggregation-mutations.ts';
import type { AggregationMutation } from '../../src/sandbox/aggregation-mutations.ts';
import type { Client } from '../../src/sandbox/clients.ts';
import { HandClock } from '../support/hand-clock.ts';
import { fetchToken, startSandbox } from '../support/start.ts';

const PATHS = {
  v1: '/account-aggregations/v1',
  v2026: '/v2026/account-aggregations',
  v2025: '/v2025/account-aggregations',
  v2024: '/v2024/account-aggregations',
  beta: '/beta/account-aggregations',
} as const;
const AGGREGATION = { definitionType: 'CLOUD_ACCOUNT_AGGREGATION' };
const RUN = { ...AGGREGATION, queueMs: 1_000, runMs: 10_000, statusLagMs: 500, status: 'SUCCESS' };
const HOUR_MS = 3_600_000;

async function connect(t: TestContext) {
  const clock = new HandClock();
  const sandbox = await startSandbox(t, { clock, rateLimit: Infinity });
  const getAs = async (client: Client, path: string) =>
    fetch(`${sandbox.url}${path}`, {
      headers: { authorization: `Bearer ${await fetchToken(sandbox, client)}` },
    });
  const get = (path: string) => getAs(sandbox.client, path);
  const read = async (path: string): Promise<any> => (await get(path)).json();
  return { clock, sandbox, tenant: sandbox.tenant, get, getAs, read };
}

for (const [version, path] of Object.entries(PATHS))
  test(`${version}: an account aggregation starts, collects and processes accounts, and ends with the counts of its task`, async t => {
    const { clock, tenant, get, read } = await connect(t);
    const id = tenant.addTask(RUN);
    const statuses = [];
    let previous: any = {};
    assert.equal((await get(`${path}/${id}/status`)).status, 404, 'before the launch');
    for (clock.advance(1_000); clock.monotonic() <= 12_000; clock.advance(500)) {
      const status = await read(`${path}/${id}/status`);
      statuses.push(status.status);
      for (const name of ['processedAccounts', 'processedIdentities', 'deletedAccounts'])
        if (previous[name] !== undefined) assert.ok(status[name] >= previous[name], name);
      assert.ok((status.processedAccounts ?? 0) <= (status.totalAccounts ?? 0));
      assert.equal(status.status === 'STARTED', status.totalAccounts === undefined);
      assert.equal('totalIdentities' in status, version === 'v1' && status.status !== 'STARTED');
      previous = status;
    }
    assert.deepEqual([...new Set(statuses)], ['STARTED', 'ACCOUNTS_COLLECTED', 'COMPLETED']);
    const { attributes } = await read(
      version === 'v1' ? `/task-status/v1/${id}` : `/${version}/task-status/${id}`,
    );
    const changed = ['created', 'updated', 'deleted'].map(name => Number(attributes[name]));
    assert.equal(
      previous.processedAccounts,
      changed.reduce((sum, count) => sum + count, 0),
    );
    assert.equal(previous.processedAccounts, previous.totalAccounts);
    if (version === 'v1') assert.equal(previous.deletedAccounts, Number(attributes['deleted']));
  });

test('an aggregation is gone an hour after its end, and other tasks have none', async t => {
  const { clock, tenant, get } = await connect(t);
  const id = tenant.addTask(RUN);
  const other = tenant.addTask({ ...RUN, definitionType: 'CLOUD_GROUP_AGGREGATION' });
  clock.advance(11_000 + HOUR_MS - 1);
  assert.equal((await get(`${PATHS.v1}/${id}/status`)).status, 200);
  clock.advance(1);
  assert.equal((await get(`${PATHS.v1}/${id}/status`)).status, 404);
  assert.equal((await get(`/task-status/v1/${id}`)).status, 200, 'the task stays');
  for (const missing of [other, 'unknown', `${id}/more`])
    assert.equal((await get(`${PATHS.v1}/${missing}/status`)).status, 404);
});

test('only users who administer sources may read an aggregation, and only of their sources', async t => {
  const { sandbox, clock, tenant, getAs } = await connect(t);
  const id = tenant.addTask({ ...RUN, target: tenant.sources[0] });
  clock.advance(2_000);
  const statusFor = async (client: Partial<Client>) =>
    (await getAs(sandbox.clients.add(client), `${PATHS.v1}/${id}/status`)).status;
  assert.equal(await statusFor({ level: 'SOURCE_SUBADMIN' }), 200);
  assert.equal(await statusFor({ level: 'HELPDESK' }), 403);
  assert.equal(await statusFor({ level: 'CERT_ADMIN' }), 403);
  assert.equal(await statusFor({ kind: 'application' }), 403);
  assert.equal(await statusFor({ sourceIds: [tenant.sources[1].id] }), 404);
});

test('faults can be ordered for aggregations alone, and each mutation changes the status', async t => {
  const { sandbox, clock, tenant, get, read } = await connect(t);
  const id = tenant.addTask(RUN);
  clock.advance(7_000);
  const path = `${PATHS.v1}/${id}/status`;
  const plain = await read(path);
  for (const mutation of Object.keys(AGGREGATION_MUTATIONS) as AggregationMutation[]) {
    sandbox.faults.order({ fault: { kind: 'aggregation', mutation }, times: 1 });
    assert.notDeepEqual(await read(path), plain, mutation);
    assert.deepEqual(await read(path), plain);
  }
  sandbox.faults.order({ fault: { kind: 'status', status: 503 }, route: 'aggregation' });
  assert.equal((await get(`/task-status/v1/${id}`)).status, 200);
  assert.equal((await get(path)).status, 503);
});
