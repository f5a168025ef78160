import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/start.ts';

const LIST = '{ taskStatuses(first: 5) { nodes { id } } }';

const FAILURES = [
  { fault: { kind: 'status', status: 503 }, code: 'UPSTREAM_UNAVAILABLE', attempts: 4 },
  { fault: { kind: 'status', status: 504 }, code: 'UPSTREAM_TIMEOUT', attempts: 4 },
  { fault: { kind: 'status', status: 403 }, code: 'FORBIDDEN', attempts: 1 },
  { fault: { kind: 'drop' }, code: 'UPSTREAM_UNAVAILABLE', attempts: 4 },
  { fault: { kind: 'truncate' }, code: 'UPSTREAM_INVALID_RESPONSE', attempts: 4 },
  { fault: { kind: 'malformed' }, code: 'UPSTREAM_INVALID_RESPONSE', attempts: 4 },
  { fault: { kind: 'latency', ms: 2_000 }, code: 'UPSTREAM_TIMEOUT', attempts: 4 },
] as const;

for (const { fault, code, attempts } of FAILURES)
  test(`upstream fault ${Object.values(fault).join(' ')} is ${code}, after ${attempts} attempts`, async t => {
    const { sandbox, query, requests } = await startGateway(t, {
      env: { UPSTREAM_TIMEOUT_MS: '150' },
    });
    sandbox.faults.order({ fault });
    const { data, errors } = await query(LIST);
    assert.equal(data, null);
    const extensions = errors?.[0]?.extensions;
    assert.equal(extensions?.code, code);
    assert.equal(requests().length, attempts);
    if (fault.kind === 'status') {
      assert.deepEqual(
        [extensions?.upstream.status, extensions?.upstream.detailCode],
        [fault.status, `${fault.status} Fault`],
      );
      assert.match(extensions?.upstream.trackingId, /^[0-9a-f]{32}$/);
    }
  });

test('an invalid document, variable or argument is BAD_USER_INPUT', async t => {
  const { query, url } = await startGateway(t);
  const codes = async (...operation: Parameters<typeof query>) =>
    (await query(...operation)).errors?.map(({ extensions }) => extensions.code);
  assert.deepEqual(await codes('{ taskStatus'), ['BAD_USER_INPUT']);
  assert.deepEqual(await codes('{ nothing }'), ['BAD_USER_INPUT']);
  assert.deepEqual(await codes('query A { __typename } query B { __typename }'), [
    'BAD_USER_INPUT',
  ]);
  assert.deepEqual(await codes('query ($id: ID!) { taskStatus(id: $id) { id } }'), [
    'BAD_USER_INPUT',
  ]);
  assert.deepEqual(
    await codes('{ taskStatuses(filter: { id: { eq: "a", in: ["b"] } }) { totalCount } }'),
    ['BAD_USER_INPUT'],
  );
  assert.deepEqual(
    await codes('query ($f: TaskStatusFilter) { taskStatuses(filter: $f) { totalCount } }', {
      f: { id: {} },
    }),
    ['BAD_USER_INPUT'],
  );
  assert.deepEqual(await codes('{ taskStatuses(after: "nonsense") { nodes { id } } }'), [
    'BAD_USER_INPUT',
  ]);
  assert.deepEqual(
    await codes('{ taskStatuses(filter: { completionStatus: { eq: UNKNOWN } }) { totalCount } }'),
    ['BAD_USER_INPUT'],
  );
  const form = await fetch(url, {
    method: 'POST',
    body: new URLSearchParams({ query: '{ __typename }' }),
  });
  assert.equal(form.status, 415);
});

test('no stack, token, URL or header reaches a caller', async t => {
  const { sandbox, query } = await startGateway(t);
  for (const fault of [
    { kind: 'drop' },
    { kind: 'malformed' },
    { kind: 'status', status: 500 },
  ] as const) {
    sandbox.faults.order({ fault, times: 1 });
    const text = JSON.stringify(await query(LIST));
    for (const secret of [
      sandbox.client.secret,
      sandbox.client.id,
      'Bearer',
      '127.0.0.1',
      '.ts:',
      'node_modules',
    ])
      assert.ok(!text.includes(secret), secret);
  }
});
