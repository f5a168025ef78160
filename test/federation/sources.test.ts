import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { startGateway } from '../support/start.ts';

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const TASKS = `query (
  $sources: [_Any!]!, $first: Int, $filter: TaskStatusFilter, $orderBy: TaskStatusOrder, $counts: Boolean = false
) {
  _entities(representations: $sources) {
    ... on Source {
      id
      latestTask { id }
      tasks(first: $first, filter: $filter, orderBy: $orderBy) {
        nodes { id }
        pageInfo { hasNextPage endCursor }
        totalCount @include(if: $counts)
      }
    }
  }
}`;

type Gateway = Awaited<ReturnType<typeof startGateway>>;

/** Sources with so many tasks each. The first source has the oldest tasks. */
function addSources({ tenant }: Gateway, counts: readonly number[]): string[] {
  return counts.map((count, place) => {
    const target = { id: `source-${place}`, type: 'APPLICATION', name: `Source ${place} [source]` };
    tenant.addTasks(count, { ...ENDED, target });
    return target.id;
  });
}

function refs(ids: readonly string[]) {
  return ids.map(id => ({ __typename: 'Source', id }));
}

/** The answer for each source when it is read separately. */
async function querySeparately({ query }: Gateway, ids: readonly string[], variables: object) {
  const answers: unknown[] = [];
  for (const id of ids) {
    const { data } = await query(TASKS, { sources: refs([id]), ...variables });
    answers.push(data._entities[0]);
  }
  return answers;
}

async function queryTogether(gateway: Gateway, ids: readonly string[], variables: object) {
  const before = gateway.requests().length;
  const { data, errors } = await gateway.query(TASKS, { sources: refs(ids), ...variables });
  return { answers: data._entities, errors, requests: gateway.requests().slice(before) };
}

test('requests for the tasks of many sources, and the latest of each, are joined if rows name their source', async t => {
  const gateway = await startGateway(t);
  const ids = addSources(gateway, Array(60).fill(3));
  const { answers, requests } = await queryTogether(gateway, ids, { first: 3 });
  assert.deepEqual(answers, await querySeparately(gateway, ids, { first: 3 }));
  assert.ok(requests.length <= 3, requests.join('\n'));
  assert.ok(requests.every(request => request.includes('sourceId%20in')));
});

test('if one source fills the page, the others are read with one more request', async t => {
  const gateway = await startGateway(t);
  const ids = addSources(gateway, [2, 3, 0, 1, 300]);
  const { answers, requests } = await queryTogether(gateway, ids, { first: 5 });
  assert.deepEqual(answers, await querySeparately(gateway, ids, { first: 5 }));
  assert.equal(requests.length, 2, requests.join('\n'));
});

test('if both fill it, or a task does not name its source, each source is read separately', async t => {
  const gateway = await startGateway(t);
  const [noisy = '', other = '', quiet = ''] = addSources(gateway, [251, 251, 1]);
  const counted = await queryTogether(gateway, [noisy, other], { first: 2, counts: true });
  assert.deepEqual(
    counted.answers.map((source: any) => source.tasks.totalCount),
    [251, 251],
  );
  assert.equal(counted.requests.length, 3, counted.requests.join('\n'));

  for (const kind of ['no-target-row', 'malformed-row'] as const) {
    gateway.sandbox.faults.order({ fault: { kind }, times: 1 });
    const { answers, errors, requests } = await queryTogether(gateway, [noisy, quiet], {
      first: 2,
    });
    assert.equal(errors, undefined);
    assert.deepEqual(answers, await querySeparately(gateway, [noisy, quiet], { first: 2 }));
    assert.equal(requests.length, 3, requests.join('\n'));
  }
});

test('an invalid source id is refused and does not affect other sources', async t => {
  const gateway = await startGateway(t);
  const [one = '', other = ''] = addSources(gateway, [1, 1]);
  const wrong = 'x'.repeat(300);
  const { data, errors } = await gateway.query(
    `query ($sources: [_Any!]!) { _entities(representations: $sources) { ... on Source { id latestTask { id } } } }`,
    { sources: refs([one, wrong, other]) },
  );
  assert.deepEqual(
    data._entities.map(({ latestTask }: any) => latestTask === null),
    [false, true, false],
  );
  assert.deepEqual(
    errors?.map(({ path, extensions }) => [path, extensions.code]),
    [[['_entities', 1, 'latestTask'], 'BAD_USER_INPUT']],
  );
});

test('any set of requests for any number of sources gets the same results together as one by one', async t => {
  const gateway = await startGateway(t);
  const ids = addSources(gateway, [0, 1, 2, 5, 40, 0, 120, 7, 260, 3, 90, 1]);
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.integer({ min: 0, max: ids.length - 1 }), { minLength: 1, maxLength: 12 }),
      fc.record({
        first: fc.oneof(fc.integer({ min: 0, max: 6 }), fc.integer({ min: 0, max: 250 })),
        orderBy: fc.constantFrom(null, { direction: 'ASC' }, { direction: 'DESC' }),
        filter: fc.constantFrom(
          null,
          { completionStatus: { in: ['SUCCESS', 'WARNING'] } },
          { sourceId: { in: ids.slice(0, 6) } },
        ),
        counts: fc.boolean(),
      }),
      async (places, variables) => {
        const sourceIds = places.map(place => ids[place] ?? '');
        const { answers } = await queryTogether(gateway, sourceIds, variables);
        assert.deepEqual(answers, await querySeparately(gateway, sourceIds, variables));
      },
    ),
    { numRuns: 25 },
  );
});

test('an operation with many reads does not make Node warn of a leak', async t => {
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  t.after(() => process.off('warning', note));
  const gateway = await startGateway(t);
  const ids = addSources(gateway, Array(20).fill(1));
  await queryTogether(gateway, ids, { first: 1 });
  assert.deepEqual(warnings.map(String), []);
});
