import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../support/start.ts';
import { TRANSPORTS, collect, subscribe } from '../support/subscribe.ts';

const ENTITIES = `query ($representations: [_Any!]!) {
  _entities(representations: $representations) {
    __typename
    ... on TaskStatus { id uniqueName state }
    ... on Source { id }
  }
}`;
const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };

function taskRef(id: string) {
  return { __typename: 'TaskStatus', id };
}

test('250 references to tasks cost at most three upstream requests, and are resolved in their order', async t => {
  const { tenant, query, requests } = await startGateway(t);
  const ids = tenant.addTasks(250, ENDED);
  // A router that does not join equal references sends them all.
  const references = [...ids, ...ids.slice(0, 20)];
  const { data } = await query(ENTITIES, { representations: references.map(taskRef) });
  assert.deepEqual(
    data._entities.map(({ __typename, id, state }: any) => [__typename, id, state]),
    references.map(id => ['TaskStatus', id, 'COMPLETED']),
  );
  assert.ok(requests().length <= 3, `${requests().length} requests`);
});

test('an unknown id is null and does not affect the others', async t => {
  const { sandbox, tenant, query } = await startGateway(t);
  const [one = '', other = ''] = tenant.addTasks(2, ENDED);
  const unknown = await query(ENTITIES, {
    representations: [one, 'no-such-task', other].map(taskRef),
  });
  assert.deepEqual(
    unknown.data._entities.map((entity: any) => entity?.id ?? null),
    [one, null, other],
  );
  assert.equal(unknown.errors, undefined);

  sandbox.faults.order({ fault: { kind: 'malformed-row' }, times: 1 });
  const malformed = await query(ENTITIES, { representations: [one, other].map(taskRef) });
  const broken = malformed.data._entities.indexOf(null);
  assert.equal(malformed.data._entities[1 - broken].id, [one, other][1 - broken]);
  assert.deepEqual(
    malformed.errors?.map(({ path, extensions }) => [path, extensions.code]),
    [[['_entities', broken], 'UPSTREAM_INVALID_RESPONSE']],
  );
});

test('an invalid reference is BAD_USER_INPUT in its own place', async t => {
  const { tenant, query } = await startGateway(t);
  const id = tenant.addTask(ENDED);
  const wrong = [
    { __typename: 'Identity', id },
    { __typename: 'TaskStatus' },
    { __typename: 'TaskStatus', id: 7 },
    { id },
    'TaskStatus',
    [],
  ];
  const { data, errors } = await query(ENTITIES, { representations: [...wrong, taskRef(id)] });
  assert.deepEqual(
    data._entities.map((entity: any) => entity?.id ?? null),
    [...wrong.map(() => null), id],
  );
  assert.deepEqual(
    errors?.map(({ path, extensions }) => [path?.[1], extensions.code]).toSorted(),
    wrong.map((_, place) => [place, 'BAD_USER_INPUT']),
  );
});

test('references, lists and depth count towards the cost limit of an operation', async t => {
  const { tenant, query, requests } = await startGateway(t, {
    env: { MAX_COST: '500', MAX_DEPTH: '8' },
  });
  const ids = tenant.addTasks(200, ENDED);
  const few = await query(ENTITIES, { representations: ids.slice(0, 50).map(taskRef) });
  assert.equal(few.data._entities.length, 50);
  const before = requests().length;
  for (const [text, variables] of [
    [ENTITIES, { representations: ids.map(taskRef) }],
    ['{ taskStatuses(first: 250) { nodes { id state } } }', {}],
    [
      '{ taskStatuses(first: 1) { nodes { target { source { tasks(first: 200) { nodes { id state } } } } } } }',
      {},
    ],
    [
      '{ taskStatuses(first: 1) { nodes { target { source { latestTask { target { source { latestTask { id } } } } } } } } }',
      {},
    ],
  ] as const) {
    const { errors } = await query(text, variables);
    assert.equal(errors?.[0]?.extensions.code, 'BAD_USER_INPUT', text);
  }
  assert.equal(requests().length, before, 'no request was sent upstream');
});

for (const transport of TRANSPORTS)
  test(`${transport}: a subscription that costs too much is refused before it starts`, async t => {
    const { url, tenant, requests } = await startGateway(t, { env: { MAX_COST: '100' } });
    tenant.addTask(ENDED);
    const stream = subscribe(
      t,
      transport,
      url,
      `subscription Cheap { taskProgress(id: "x") { id } }
       subscription Dear { taskStatusChanged { taskStatus { target { source { tasks(first: 250) { nodes { id } } } } } } }`,
      {},
      undefined,
      'Dear',
    );
    if (transport !== 'single-connection sse') {
      const [refused, ...others] = await collect(stream);
      assert.equal(refused.errors[0].extensions.code, 'BAD_USER_INPUT');
      assert.deepEqual(others, []);
    } else await assert.rejects(collect(stream));
    assert.equal(requests().length, 0);
  });
