import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type StartOptions, startGateway } from '../support/start.ts';

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const RUNNING = { queueMs: 0, runMs: Infinity };
const STATUSES = ['SUCCESS', 'WARNING', 'ERROR', 'TERMINATED', 'TEMPERROR'] as const;
const NUMBERS = { running: 3, SUCCESS: 5, WARNING: 1, ERROR: 4, TERMINATED: 2, TEMPERROR: 0 };
const ALL = 'total running success warning error terminated tempError';
const COUNTS = {
  total: 15,
  running: 3,
  success: 5,
  warning: 1,
  error: 4,
  terminated: 2,
  tempError: 0,
};

/** A tenant with `NUMBERS` of tasks, and what one query costs over it. */
async function setUp(t: TestContext, options: StartOptions = {}) {
  const gateway = await startGateway(t, options);
  const add = (target: { id: string; type: string; name: string } | null) => {
    gateway.tenant.addTasks(NUMBERS.running, { ...RUNNING, target });
    for (const status of STATUSES)
      gateway.tenant.addTasks(NUMBERS[status], { ...ENDED, status, target });
  };
  const ask = async (
    selection: string,
    filter: object | null = null,
    headers: Record<string, string> = {},
  ) => {
    const before = gateway.requests().length;
    const { data, errors } = await gateway.query(
      `query ${selection.includes('$filter') ? '($filter: TaskStatusFilter)' : ''} { ${selection} }`,
      { filter },
      headers,
    );
    const asked = gateway
      .requests()
      .slice(before)
      .map(request => decodeURIComponent(request.replace(/^\S+ \S+\?/, '')));
    return { data, errors, asked };
  };
  return { ...gateway, add, ask };
}

test('each count is made upstream only if it is selected, without any rows', async t => {
  const { add, ask } = await setUp(t);
  add(null);
  const all = await ask(`taskStatusCounts { ${ALL} }`);
  assert.equal(all.errors, undefined);
  assert.deepEqual(all.data.taskStatusCounts, COUNTS);
  assert.deepEqual(
    all.asked.toSorted(),
    [
      ...STATUSES.map(status => `filters=completionStatus eq "${status}"&limit=0&count=true`),
      'filters=completionStatus isnull&limit=0&count=true',
      'limit=0&count=true',
    ].toSorted(),
  );

  const one = await ask('taskStatusCounts { error @include(if: true) total @skip(if: true) }');
  assert.deepEqual(one.data.taskStatusCounts, { error: 4 });
  assert.deepEqual(one.asked, ['filters=completionStatus eq "ERROR"&limit=0&count=true']);
  assert.deepEqual((await ask('taskStatusCounts { __typename }')).asked, []);
});

test('equal counts cost one request, in one operation and in operations at the same time', async t => {
  const { add, ask } = await setUp(t);
  add(null);
  const twice = `a: taskStatusCounts(filter: $filter) { running also: running } b: taskStatusCounts(filter: $filter) { running }
    list: taskStatuses(filter: { completionStatus: { isNull: true } }, orderBy: { direction: ASC }) { totalCount }`;
  const { data, asked } = await ask(twice);
  assert.deepEqual(
    [data.a, data.b, data.list],
    [{ running: 3, also: 3 }, { running: 3 }, { totalCount: 3 }],
  );
  assert.equal(asked.length, 1, asked.join('\n'));

  const fresh = await ask(twice, null, { 'cache-control': 'no-cache' });
  assert.equal(fresh.asked.length, 1, fresh.asked.join('\n'));

  const { query, requests } = await setUp(t);
  await Promise.all(Array.from({ length: 20 }, () => query('{ taskStatusCounts { total } }')));
  assert.ok(requests().length < 20, `${requests().length} requests`);
});

test('a list that is read anyway brings its count along', async t => {
  const { add, ask } = await setUp(t, { env: { MAX_STALENESS_MS: '60000' } });
  add(null);
  const filter = { completionStatus: { in: ['ERROR'] } };
  const { data, errors, asked } = await ask(
    `taskStatusCounts(filter: $filter) { total error success }
     taskStatuses(filter: $filter, first: 2) { nodes { completionStatus } pageInfo { hasNextPage } }`,
    filter,
  );
  assert.equal(errors, undefined);
  assert.deepEqual(data, {
    taskStatusCounts: { total: 4, error: 4, success: 0 },
    taskStatuses: {
      nodes: [{ completionStatus: 'ERROR' }, { completionStatus: 'ERROR' }],
      pageInfo: { hasNextPage: true },
    },
  });
  assert.deepEqual(asked, [
    'filters=completionStatus eq "ERROR"&sorters=-created&limit=3&count=true',
  ]);
  // Kept as a page is.
  assert.deepEqual((await ask('taskStatusCounts { error }')).asked, []);
});

test('a list that upstream does not count is returned all the same', async t => {
  const { add, ask, sandbox } = await setUp(t);
  add(null);
  sandbox.faults.order({ fault: { kind: 'status', status: 400 }, times: 1 });
  const { data, errors } = await ask(
    'taskStatusCounts { total } taskStatuses(first: 2) { nodes { id } }',
  );
  assert.equal(errors, undefined);
  assert.deepEqual([data.taskStatusCounts.total, data.taskStatuses.nodes.length], [15, 2]);
});

test('counts are kept as long as any answer', async t => {
  const { add, ask, tenant } = await setUp(t, { env: { MAX_STALENESS_MS: '60000' } });
  add(null);
  await ask(`taskStatusCounts { ${ALL} }`);
  tenant.addTask(ENDED);
  const again = await ask(`taskStatusCounts { ${ALL} } taskStatuses { totalCount }`);
  assert.deepEqual(again.asked, []);
  assert.deepEqual(again.data, { taskStatusCounts: COUNTS, taskStatuses: { totalCount: 15 } });
  const fresh = await ask('taskStatusCounts { total }', null, { 'cache-control': 'no-cache' });
  assert.equal(fresh.data.taskStatusCounts.total, 16);
});

test('a count that upstream does not return is null with an error of its own', async t => {
  const { add, ask, sandbox, tenant } = await setUp(t);
  add(null);
  tenant.addTasks(250, { ...ENDED, status: 'SUCCESS' });
  sandbox.faults.order({ fault: { kind: 'no-count' } });
  const { data, errors } = await ask(`taskStatusCounts { ${ALL} }`);
  // The others fit a page, which gives their number.
  assert.deepEqual(data.taskStatusCounts, { ...COUNTS, total: null, success: null });
  assert.deepEqual(
    errors?.map(({ path, extensions }) => [path?.join('.'), extensions['code']]).toSorted(),
    [
      ['taskStatusCounts.success', 'UPSTREAM_INVALID_RESPONSE'],
      ['taskStatusCounts.total', 'UPSTREAM_INVALID_RESPONSE'],
    ],
  );
});

test('where lists have only tasks that ended, `running` alone is refused', async t => {
  const { add, ask } = await setUp(t, { env: { UPSTREAM_API_VERSION: 'v2024' } });
  add(null);
  const { data, errors } = await ask(`taskStatusCounts { ${ALL} }`);
  assert.deepEqual(data.taskStatusCounts, { ...COUNTS, total: 12, running: null });
  assert.deepEqual(
    errors?.map(({ path, extensions }) => [path?.join('.'), extensions['code']]),
    [['taskStatusCounts.running', 'BAD_USER_INPUT']],
  );
});

test('the filter applies to every count, and what it excludes costs nothing', async t => {
  const { add, ask } = await setUp(t);
  add(null);
  const statusOf: Record<string, string> = {
    success: 'SUCCESS',
    warning: 'WARNING',
    error: 'ERROR',
    terminated: 'TERMINATED',
    tempError: 'TEMPERROR',
  };
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(
        fc.record({ in: fc.subarray([...STATUSES]) }),
        fc.record({ eq: fc.constantFrom(...STATUSES) }),
        fc.record({ isNull: fc.boolean() }),
      ),
      async condition => {
        const matches = (status: string | null) => {
          if ('isNull' in condition) return condition.isNull === (status === null);
          if (status === null) return false;
          return 'eq' in condition
            ? condition.eq === status
            : (condition.in as string[]).includes(status);
        };
        const expected: Record<string, number> = { running: matches(null) ? 3 : 0 };
        for (const [name, status] of Object.entries(statusOf))
          expected[name] = matches(status) ? NUMBERS[status as keyof typeof NUMBERS] : 0;
        expected['total'] = Object.values(expected).reduce((sum, count) => sum + count, 0);
        const { data, errors, asked } = await ask(`taskStatusCounts(filter: $filter) { ${ALL} }`, {
          completionStatus: condition,
        });
        assert.equal(errors, undefined);
        assert.deepEqual({ ...data.taskStatusCounts }, expected);
        const possible = [null, ...STATUSES].filter(matches).length;
        assert.ok(asked.length <= possible + 1, asked.join('\n'));
      },
    ),
    { numRuns: 30 },
  );
  const wrong = await ask('taskStatusCounts(filter: $filter) { total }', {
    completionStatus: { eq: 'UNKNOWN' },
  });
  assert.equal(wrong.errors?.[0]?.extensions['code'], 'BAD_USER_INPUT');
});

test('the counts of many sources are joined where a page holds all their tasks', async t => {
  const { add, query, requests } = await setUp(t, { env: { MAX_UPSTREAM_REQUESTS: '200' } });
  const sources = Array.from({ length: 12 }, (_, place) => ({
    id: `source-${place}`,
    type: 'APPLICATION',
    name: `Source ${place}`,
  }));
  sources.forEach(add);
  const { data, errors } = await query(
    `query ($sources: [_Any!]!) {
      _entities(representations: $sources) {
        ... on Source {
          taskCounts { ${ALL} }
          failed: taskCounts(filter: { completionStatus: { eq: ERROR } }) { total }
          other: taskCounts(filter: { sourceId: { eq: "source-0" } }) { running }
          tasks(first: 1) { nodes { id } }
        }
      }
    }`,
    { sources: [...sources, { id: 'nowhere' }].map(({ id }) => ({ __typename: 'Source', id })) },
  );
  assert.equal(errors, undefined);
  assert.deepEqual(
    data._entities.map(({ taskCounts, failed, other }: any) => [taskCounts, failed, other]),
    [
      ...sources.map(({ id }) => [COUNTS, { total: 4 }, { running: id === 'source-0' ? 3 : 0 }]),
      [
        Object.fromEntries(Object.keys(COUNTS).map(name => [name, 0])),
        { total: 0 },
        { running: 0 },
      ],
    ],
  );
  // One for each status, and one for the total and the tasks.
  assert.ok(requests().length <= 7, requests().join('\n'));
});

test('counts that a page cannot hold are still right, one request each', async t => {
  const { tenant, query, requests } = await setUp(t);
  const counts = [200, 260, 3];
  counts.forEach((count, place) =>
    tenant.addTasks(count, {
      ...ENDED,
      target: { id: `source-${place}`, type: 'APPLICATION', name: 'Source' },
    }),
  );
  const { data } = await query(
    `query ($sources: [_Any!]!) {
      _entities(representations: $sources) { ... on Source { taskCounts { total } } }
    }`,
    { sources: counts.map((_, place) => ({ __typename: 'Source', id: `source-${place}` })) },
  );
  assert.deepEqual(
    data._entities.map((source: any) => source.taskCounts.total),
    counts,
  );
  assert.ok(requests().length <= counts.length + 1, requests().join('\n'));
});

test('counts are among the upstream requests and the cost that an operation may have', async t => {
  const { query, requests } = await setUp(t, {
    env: { MAX_UPSTREAM_REQUESTS: '20', MAX_COST: '300' },
  });
  const source = { __typename: 'Source', id: 'source' };
  const counts = '... on Source { taskCounts { running error } }';
  const refused = async (text: string, variables = {}) => {
    const { errors } = await query(text, variables);
    return errors?.[0]?.message ?? null;
  };
  const entities = `query ($sources: [_Any!]!) { _entities(representations: $sources) { ${counts} } }`;
  assert.equal(await refused(entities, { sources: Array(10).fill(source) }), null);
  const before = requests().length;
  assert.match(
    (await refused(entities, { sources: Array(11).fill(source) })) ?? '',
    /22 upstream requests; MAX_UPSTREAM_REQUESTS allows 20/,
  );
  assert.match(
    (await refused(
      `{ taskStatuses(first: 10) { nodes { target { source { taskCounts { total running } } } } } }`,
    )) ?? '',
    /MAX_UPSTREAM_REQUESTS/,
  );
  assert.match(
    (await refused(
      `{ ${Array.from({ length: 200 }, (_, place) => `c${place}: taskStatusCounts { __typename }`).join(' ')} }`,
    )) ?? '',
    /MAX_COST/,
  );
  // So many ids take several requests for each count.
  const ids = Array.from({ length: 500 }, (_, place) => `task-${place}`);
  assert.match(
    (await refused(
      'query ($ids: [ID!]!) { taskStatusCounts(filter: { id: { in: $ids } }) { total running error success } }',
      { ids },
    )) ?? '',
    /24 upstream requests/,
  );
  assert.match(
    (await refused(
      'query ($ids: [ID!]!) { a: taskStatuses(filter: { id: { in: $ids } }) { totalCount } b: taskStatuses(filter: { id: { in: $ids } }) { totalCount } c: taskStatuses(filter: { id: { in: $ids } }) { totalCount } d: taskStatuses(filter: { id: { in: $ids } }) { totalCount } }',
      { ids },
    )) ?? '',
    /24 upstream requests/,
  );
  assert.equal(requests().length, before);
});
