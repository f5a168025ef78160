import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSIONS } from '../../src/upstream/versions.ts';
import { fetchToken, startGateway } from '../support/start.ts';

const UPDATE = `mutation ($input: UpdateTaskStatusInput!) {
  updateTaskStatus(input: $input) { taskStatus { id state completionStatus completed } }
}`;
const LASTING = { queueMs: 0, runMs: 3_600_000 };

for (const version of API_VERSIONS)
  test(`${version}: a pending task is cleared with the given end date`, async t => {
    const { tenant, query, requests } = await startGateway(t, {
      env: { UPSTREAM_API_VERSION: version },
    });
    const id = tenant.addTask(LASTING);
    const { data, errors } = await query(UPDATE, {
      input: { id, completionStatus: 'TERMINATED', completed: '2026-08-20T11:00:00+02:00' },
    });
    assert.equal(errors, undefined);
    assert.deepEqual(data.updateTaskStatus.taskStatus, {
      id,
      state: 'COMPLETED',
      completionStatus: 'TERMINATED',
      completed: '2026-08-20T09:00:00.000Z',
    });
    assert.equal(requests().length, 1);
  });

test('without a date, a task is cleared with the current time', async t => {
  const { tenant, query } = await startGateway(t);
  const before = Date.now();
  const { data } = await query(UPDATE, {
    input: { id: tenant.addTask(LASTING), completionStatus: 'ERROR' },
  });
  const completed = Date.parse(data.updateTaskStatus.taskStatus.completed);
  assert.ok(completed >= before && completed <= Date.now());
});

test('an invalid update is refused with the reason', async t => {
  const { sandbox, tenant, query, requests } = await startGateway(t, {
    env: { AUTH_MODE: 'passthrough' },
  });
  const id = tenant.addTask(LASTING);
  const tokenOf = async (client: Parameters<typeof fetchToken>[1]) => ({
    authorization: `Bearer ${await fetchToken(sandbox, client)}`,
  });
  const user = await tokenOf(sandbox.client);
  const code = async (input: object, headers = user) => {
    const { errors } = await query(UPDATE, { input }, headers);
    return errors?.[0]?.extensions.code;
  };
  assert.equal(await code({ id, completionStatus: 'UNKNOWN' }), 'BAD_USER_INPUT');
  assert.equal(
    await code({ id, completionStatus: 'ERROR', completed: 'yesterday' }),
    'BAD_USER_INPUT',
  );
  assert.equal(requests().length, 0, 'upstream was not bothered');
  assert.equal(await code({ id: 'unknown', completionStatus: 'ERROR' }), 'NOT_FOUND');
  for (const odd of ['', '.', '..', '../v1', 'a/b', '\ud800'])
    assert.equal(await code({ id: odd, completionStatus: 'ERROR' }), 'NOT_FOUND', odd);
  assert.equal(
    await code(
      { id, completionStatus: 'ERROR' },
      await tokenOf(sandbox.clients.add({ kind: 'application' })),
    ),
    'FORBIDDEN',
  );
});
