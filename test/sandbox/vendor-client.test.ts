import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import {
  Configuration,
  Paginator,
  TaskManagementBetaApi,
  TaskManagementV2024Api,
} from 'sailpoint-api-client';
import { startSandbox } from '../support/start.ts';

// The vendor's own TypeScript client, used as its documentation says, against the sandbox.

async function connect(t: TestContext) {
  const sandbox = await startSandbox(t);
  const { id: clientId, secret: clientSecret } = sandbox.client;
  const configuration = new Configuration({
    baseurl: sandbox.url,
    tokenUrl: `${sandbox.url}/oauth/token`,
    clientId,
    clientSecret,
  });
  configuration.experimental = true;
  return {
    tenant: sandbox.tenant,
    journal: sandbox.journal,
    configuration,
    apis: {
      beta: new TaskManagementBetaApi(configuration),
      v2024: new TaskManagementV2024Api(configuration),
    },
  };
}

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };

for (const version of ['beta', 'v2024'] as const) {
  test(`the vendor's ${version} client fetches a token and lists tasks that have ended`, async t => {
    const { tenant, apis, journal } = await connect(t);
    const ids = tenant.addTasks(3, ENDED);
    tenant.addTask({ runMs: 60_000 });

    const { data, headers } = await apis[version].getTaskStatusList({
      count: true,
      sorters: 'created',
    });

    assert.deepEqual(new Set(data.map(({ id }) => id)), new Set(ids));
    assert.equal(headers['x-total-count'], '3');
    assert.equal(journal.tokenRequests.length, 1);
  });

  test(`the vendor's ${version} client reads a task, and those pending`, async t => {
    const { tenant, apis } = await connect(t);
    const id = tenant.addTask({ queueMs: 0, runMs: 60_000 });

    const { data: task } = await apis[version].getTaskStatus({ id });
    const { data: pending, headers } = await apis[version].getPendingTasks({ limit: 10 });
    const head = await apis[version].getPendingTaskHeaders({
      count: true,
      xSailPointExperimental: 'true',
    });

    assert.equal(task.id, id);
    assert.equal(task.completionStatus, null);
    assert.deepEqual(
      pending.map(row => row.id),
      [id],
    );
    assert.equal(headers['x-deprecated'], 'true');
    assert.equal(head.headers['x-total-count'], '1');
  });

  test(`the vendor's ${version} client filters, in either way it encodes spaces`, async t => {
    const { tenant, apis } = await connect(t);
    const [failed] = tenant.addTasks(1, { ...ENDED, status: 'ERROR' });
    tenant.addTasks(4, { ...ENDED, status: 'SUCCESS' });

    for (const filters of [
      'completionStatus eq "Error"',
      'completionStatus eq"ERROR"',
      `id in ("${failed}", "x") and not completionStatus eq "SUCCESS"`,
    ]) {
      const { data } = await apis[version].getTaskStatusList({ filters });
      assert.deepEqual(
        data.map(({ id }) => id),
        [failed],
        filters,
      );
    }
  });

  test(`the vendor's ${version} paginator walks the whole list`, async t => {
    const { tenant, apis } = await connect(t);
    const ids = tenant.addTasks(23, ENDED);
    const api = apis[version];

    const { data } = await Paginator.paginate(
      api,
      api.getTaskStatusList,
      { limit: 100, sorters: '-created' },
      5,
    );

    assert.deepEqual(new Set(data.map(({ id }) => id)), new Set(ids));
    assert.equal(data.length, 23);
  });

  test(`the vendor's ${version} client clears a pending task with a JSON Patch`, async t => {
    const { tenant, apis } = await connect(t);
    const id = tenant.addTask({ queueMs: 0, runMs: 60_000 });
    const completed = '2026-08-20T09:00:00.000Z';
    const operations = [
      { op: 'replace' as const, path: '/completionStatus', value: 'Error' },
      { op: 'replace' as const, path: '/completed', value: completed },
    ];

    const { data } =
      version === 'beta'
        ? await apis.beta.updateTaskStatus({ id, jsonPatchOperationBeta: operations })
        : await apis.v2024.updateTaskStatus({
            id,
            xSailPointExperimental: 'true',
            jsonPatchOperationV2024: operations,
          });

    assert.equal(data.completionStatus, 'ERROR');
    assert.equal(data.completed, completed);
  });
}

test("the vendor's client is refused as upstream refuses", async t => {
  const { apis } = await connect(t);
  const refusal = async (call: Promise<unknown>) =>
    call.then(
      () => assert.fail('it was not refused'),
      (error: { response: { status: number; data: any } }) => error.response,
    );

  const filter = await refusal(apis.v2024.getTaskStatusList({ filters: 'type eq "QUARTZ"' }));
  assert.equal(filter.status, 400);
  assert.match(
    filter.data.messages[0].text,
    /Error converting Enumerated string \(type\) value \(QUARTZ\)/,
  );
  assert.equal((await refusal(apis.beta.getTaskStatus({ id: 'unknown' }))).status, 404);
  assert.equal((await refusal(apis.beta.getTaskStatusList({ limit: 251 }))).status, 400);
});
