import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readNodeId, toNodeId } from '../../src/graphql/node.ts';
import { startGateway } from '../support/start.ts';

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const TARGET = { id: 'source-1', type: 'APPLICATION', name: 'Workday HR [source]' };
const NODES = `query ($ids: [ID!]!) {
  nodes(nodeIds: $ids) {
    nodeId
    ... on TaskStatus { id state }
    ... on Source { id latestTask { id } }
  }
}`;
const NODE = `query ($id: ID!) { node(nodeId: $id) { __typename nodeId ... on TaskStatus { id } ... on Source { id } } }`;

test('an object is read again by its nodeId', async t => {
  const { tenant, query } = await startGateway(t);
  const id = tenant.addTask({ ...ENDED, target: TARGET });
  const { data } = await query(
    'query ($id: ID!) { taskStatus(id: $id) { __typename nodeId id target { source { __typename nodeId id } } } }',
    { id },
  );
  const { target, ...task } = data.taskStatus;
  for (const object of [task, target.source])
    assert.deepEqual((await query(NODE, { id: object.nodeId })).data, { node: object });
});

test('no two objects have the same nodeId, and each leads back to its object', () => {
  const reference = fc.tuple(
    fc.constantFrom('TaskStatus' as const, 'Source' as const),
    fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }),
  );
  fc.assert(
    fc.property(reference, reference, ([type, id], [otherType, otherId]) => {
      const nodeId = toNodeId(type, id);
      assert.deepEqual(readNodeId(nodeId), { __typename: type, id });
      const isSame = type === otherType && id === otherId;
      assert.equal(nodeId === toNodeId(otherType, otherId), isSame);
    }),
  );
});

test('nodes come in the order asked for, in one upstream request, null where there is no such task', async t => {
  const { tenant, query, requests } = await startGateway(t);
  const ids = tenant.addTasks(40, { ...ENDED, target: TARGET });
  const unknownId = toNodeId('TaskStatus', 'no-such-task');
  const wanted = [
    toNodeId('Source', TARGET.id),
    ...ids.map(id => toNodeId('TaskStatus', id)),
    unknownId,
    toNodeId('TaskStatus', ids[7] ?? ''),
  ];
  const { data, errors } = await query(NODES, { ids: wanted });
  assert.equal(errors, undefined);
  assert.deepEqual(
    data.nodes.map((node: any) => node?.nodeId ?? null),
    wanted.map(nodeId => (nodeId === unknownId ? null : nodeId)),
  );
  assert.ok(ids.includes(data.nodes[0].latestTask.id));
  assert.equal(requests().length, 2, requests().join('\n'));

  const unknown = await query(NODE, { id: unknownId });
  assert.deepEqual([unknown.data, unknown.errors], [{ node: null }, undefined]);
});

test('a nodeId and the id of a task are read in the same upstream request', async t => {
  const { tenant, query, requests } = await startGateway(t);
  const [one = '', other = ''] = tenant.addTasks(2, ENDED);
  await query(
    'query ($one: ID!, $other: ID!) { node(nodeId: $one) { nodeId } taskStatus(id: $other) { id } }',
    {
      one: toNodeId('TaskStatus', one),
      other,
    },
  );
  assert.equal(requests().length, 1, requests().join('\n'));
});

test('a text that is no nodeId is BAD_USER_INPUT in its place, and its neighbours are returned', async t => {
  const { tenant, query, requests } = await startGateway(t);
  const id = tenant.addTask(ENDED);
  const good = toNodeId('TaskStatus', id);
  const encode = (text: string) => Buffer.from(text).toString('base64url');
  const wrong = [
    '',
    id,
    `TaskStatus:${id}`,
    encode(id),
    encode('TaskStatus:'),
    encode(`Identity:${id}`),
    encode(`taskstatus:${id}`),
    `${good}=`,
    ` ${good}`,
    '%00',
    '\ud800',
  ];
  const { data, errors } = await query(NODES, { ids: [...wrong, good] });
  assert.deepEqual(
    data.nodes.map((node: any) => node?.id ?? null),
    [...wrong.map(() => null), id],
  );
  assert.deepEqual(
    errors?.map(({ path, extensions }) => [path?.join('.'), extensions['code']]).toSorted(),
    wrong.map((_, place) => [`nodes.${place}`, 'BAD_USER_INPUT']).toSorted(),
  );
  assert.equal(requests().length, 1);

  const alone = await query(NODE, { id: 'x' });
  assert.deepEqual(alone.data, { node: null });
  assert.equal(alone.errors?.[0]?.extensions['code'], 'BAD_USER_INPUT');
});

test('nodes count in what an operation may cost', async t => {
  const { query, requests } = await startGateway(t, {
    env: { MAX_UPSTREAM_REQUESTS: '4', MAX_COST: '5000' },
  });
  const ids = Array.from({ length: 300 }, (_, place) => toNodeId('TaskStatus', `task-${place}`));
  for (const [count, variable] of [
    [300, 'MAX_UPSTREAM_REQUESTS'],
    [2_000, 'MAX_COST'],
  ] as const) {
    const wanted = Array.from({ length: count }, (_, place) => ids[place % 300]);
    const { errors } = await query(NODES, { ids: wanted });
    assert.match(errors?.[0]?.message ?? '', new RegExp(variable));
  }
  assert.equal(requests().length, 0);
  assert.equal((await query(NODES, { ids: ids.slice(0, 100) })).errors, undefined);
});
