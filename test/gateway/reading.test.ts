import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSIONS } from '../../src/upstream/versions.ts';
import { HandClock } from '../support/hand-clock.ts';
import { startGateway } from '../support/start.ts';

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const LASTING = { queueMs: 0, runMs: 3_600_000 };
const BY_ID = 'query ($id: ID!) { taskStatus(id: $id) { id state } }';
const PAGE = `query ($filter: TaskStatusFilter, $orderBy: TaskStatusOrder, $first: Int, $after: String) {
  taskStatuses(filter: $filter, orderBy: $orderBy, first: $first, after: $after) {
    nodes { id } edges { cursor } pageInfo { hasNextPage hasPreviousPage endCursor }
  }
}`;

for (const version of API_VERSIONS) {
  const env = { UPSTREAM_API_VERSION: version };
  const listsRunning = !['beta', 'v2024'].includes(version);

  test(`${version}: a task is read by id, running or completed; an unknown one is null`, async t => {
    const { tenant, query } = await startGateway(t, { env });
    const ids = [tenant.addTask(ENDED), tenant.addTask(LASTING), 'unknown', 'pending-tasks', ''];
    const answers = await Promise.all(ids.map(id => query(BY_ID, { id })));
    assert.deepEqual(
      answers.map(({ data, errors }) => errors ?? data.taskStatus?.state ?? null),
      ['COMPLETED', 'RUNNING', null, null, null],
    );
  });

  test(`${version}: fifty tasks in one operation cost ${listsRunning ? 'one request' : 'two requests'}`, async t => {
    const { tenant, query, requests } = await startGateway(t, { env });
    const ids = [...tenant.addTasks(25, ENDED), ...tenant.addTasks(25, LASTING)];
    const { data } = await query(
      `{ ${ids.map((id, place) => `t${place}: taskStatus(id: "${id}") { id }`).join(' ')} }`,
    );
    assert.deepEqual(
      Object.values(data).map((task: any) => task.id),
      ids,
    );
    assert.equal(requests().length, listsRunning ? 1 : 2);
  });

  test(`${version}: pages return every task once, in order`, async t => {
    const clock = new HandClock();
    const { tenant, query } = await startGateway(t, { env, clock });
    const ids: string[] = [];
    for (let count = 0; count < 23; count++) {
      ids.push(tenant.addTask(ENDED));
      clock.advance(1_000);
    }
    for (const direction of ['ASC', 'DESC']) {
      const read: string[] = [];
      for (let after: string | null = null, hasNext = true; hasNext;) {
        const { data }: any = await query(PAGE, { first: 5, after, orderBy: { direction } });
        const { nodes, edges, pageInfo } = data.taskStatuses;
        read.push(...nodes.map(({ id }: any) => id));
        assert.equal(pageInfo.hasPreviousPage, after !== null);
        assert.equal(pageInfo.endCursor, edges.at(-1).cursor);
        after = pageInfo.endCursor;
        hasNext = pageInfo.hasNextPage;
      }
      assert.deepEqual(read, direction === 'ASC' ? ids : ids.toReversed());
    }
  });

  test(`${version}: filters are typed, combined with AND, and return the matching tasks`, async t => {
    const { tenant, query } = await startGateway(t, { env });
    const [source, other] = tenant.sources;
    const expected = tenant.addTask({
      ...ENDED,
      target: source,
      status: 'ERROR',
      definitionType: 'CLOUD_GROUP_AGGREGATION',
    });
    tenant.addTask({
      ...ENDED,
      target: source,
      status: 'SUCCESS',
      definitionType: 'CLOUD_GROUP_AGGREGATION',
    });
    tenant.addTask({
      ...ENDED,
      target: other,
      status: 'ERROR',
      definitionType: 'CLOUD_GROUP_AGGREGATION',
    });
    tenant.addTask({
      ...ENDED,
      target: source,
      status: 'ERROR',
      definitionType: 'CLOUD_REFRESH_ROLE',
    });
    const filter = {
      sourceId: { eq: source.id },
      completionStatus: { in: ['ERROR', 'TEMPERROR'] },
      definitionType: { eq: 'CLOUD_GROUP_AGGREGATION' },
    };
    const find = async (conditions: object) =>
      (await query(PAGE, { filter: conditions })).data.taskStatuses.nodes.map(({ id }: any) => id);
    assert.deepEqual(await find(filter), [expected]);
    assert.deepEqual(await find({ id: { in: [expected, 'x'] } }), [expected]);
    assert.deepEqual(await find({ id: { in: [] } }), []);
  });

  test(`${version}: an unsupported condition is refused with the names of the versions that support it`, async t => {
    const { query, requests } = await startGateway(t, { env });
    const launcher = await query(PAGE, { filter: { launcher: { eq: 'System' } } });
    const isNull = await query(PAGE, { filter: { completionStatus: { isNull: true } } });
    if (['v1', 'v2026'].includes(version)) assert.ok(launcher.data);
    else {
      assert.equal(launcher.errors?.[0]?.extensions.code, 'BAD_USER_INPUT');
      assert.match(launcher.errors?.[0]?.message ?? '', /launcher.*v1, v2026/);
    }
    if (listsRunning) assert.ok(isNull.data);
    else
      assert.match(isNull.errors?.[0]?.message ?? '', /completionStatus\.isNull.*v1, v2026, v2025/);
    assert.equal(requests().length, (launcher.data ? 1 : 0) + (isNull.data ? 1 : 0));
  });
}

test('a count is requested only when it is selected, together with the page', async t => {
  const { tenant, query, requests } = await startGateway(t);
  tenant.addTasks(7, ENDED);
  const ask = async (selection: string) => {
    const before = requests().length;
    const { data, errors } = await query(
      `query ($yes: Boolean = true, $no: Boolean = false) {
        __typename @include(if: $yes) @skip(if: $no)
        taskStatuses(first: 3) { ${selection} }
      }`,
    );
    assert.equal(errors, undefined);
    return { page: data.taskStatuses, sent: requests().slice(before) };
  };
  const uncounted = await ask('nodes { id } totalCount @include(if: $no) pageInfo { hasNextPage }');
  assert.ok(uncounted.sent.every(request => !request.includes('count=true')));
  assert.equal(uncounted.page.pageInfo.hasNextPage, true);

  const counted = await ask(
    'nodes { id } ... on TaskStatusConnection @include(if: $yes) { all: totalCount }',
  );
  assert.deepEqual([counted.page.all, counted.page.nodes.length, counted.sent.length], [7, 3, 1]);

  const onlyCounted = await ask('totalCount');
  assert.equal(onlyCounted.page.totalCount, 7);
  assert.match(onlyCounted.sent.join(), /limit=0&count=true$/);

  assert.deepEqual((await ask('__typename')).sent, []);
});

for (const text of [undefined, '', 'many', '-1', '1e3', '99999999999'])
  test(`if upstream sends ${JSON.stringify(text) ?? 'nothing'} as the count, rows are returned, and so is a count that the page itself determines`, async t => {
    const { sandbox, tenant, query, requests } = await startGateway(t);
    tenant.addTasks(7, ENDED);
    sandbox.faults.order({ fault: { kind: 'no-count', ...(text !== undefined && { text }) } });
    const ask = (first: number, selection: string, filter = {}) =>
      query(
        `query ($first: Int, $filter: TaskStatusFilter) {
          taskStatuses(first: $first, filter: $filter) { ${selection} }
        }`,
        { first, filter },
      );
    const codes = ({ errors }: Awaited<ReturnType<typeof ask>>) =>
      errors?.map(({ path, extensions }) => [path?.join('.'), extensions.code]);

    const whole = await ask(50, 'totalCount nodes { id }');
    assert.deepEqual([whole.errors, whole.data.taskStatuses.totalCount], [undefined, 7]);

    const part = await ask(3, 'all: totalCount nodes { id } pageInfo { hasNextPage }');
    assert.equal(part.data.taskStatuses.nodes.length, 3);
    assert.equal(part.data.taskStatuses.pageInfo.hasNextPage, true);
    assert.equal(part.data.taskStatuses.all, null);
    assert.deepEqual(codes(part), [['taskStatuses.all', 'UPSTREAM_INVALID_RESPONSE']]);

    const before = requests().length;
    const countOnly = await ask(3, 'totalCount');
    assert.deepEqual([countOnly.errors, countOnly.data.taskStatuses.totalCount], [undefined, 7]);
    assert.equal(requests().length - before, 2, 'the count, and one page');

    const none = await ask(3, 'totalCount', { id: { eq: 'unknown' } });
    assert.deepEqual([none.errors, none.data.taskStatuses.totalCount], [undefined, 0]);
    const impossible = await ask(3, 'totalCount', { id: { in: [] } });
    assert.deepEqual([impossible.errors, impossible.data.taskStatuses.totalCount], [undefined, 0]);

    tenant.addTasks(250, ENDED);
    const many = await ask(3, 'totalCount pageInfo { hasPreviousPage }');
    assert.deepEqual(many.data.taskStatuses, {
      totalCount: null,
      pageInfo: { hasPreviousPage: false },
    });
    assert.deepEqual(codes(many), [['taskStatuses.totalCount', 'UPSTREAM_INVALID_RESPONSE']]);
  });

test('the last page of a list determines the total if upstream does not count', async t => {
  const { sandbox, tenant, query } = await startGateway(t);
  tenant.addTasks(7, ENDED);
  sandbox.faults.order({ fault: { kind: 'no-count' } });
  const first = await query(PAGE, { first: 5 });
  const { data, errors } = await query(
    'query ($after: String) { taskStatuses(first: 5, after: $after) { totalCount nodes { id } } }',
    { after: first.data.taskStatuses.pageInfo.endCursor },
  );
  assert.equal(errors, undefined);
  assert.deepEqual([data.taskStatuses.totalCount, data.taskStatuses.nodes.length], [7, 2]);
});

test('a list with more ids than fit one URL is read in parts, but counted and paged as one', async t => {
  const { tenant, query, requests } = await startGateway(t);
  const ids = tenant.addTasks(240, ENDED);
  const { data, errors } = await query(
    'query ($ids: [ID!]!) { taskStatuses(filter: { id: { in: $ids } }, first: 200) { totalCount nodes { id } pageInfo { hasNextPage } } }',
    { ids: [...ids, 'unknown'] },
  );
  assert.equal(errors, undefined);
  assert.equal(new Set(data.taskStatuses.nodes.map(({ id }: any) => id)).size, 200);
  assert.deepEqual(
    [data.taskStatuses.totalCount, data.taskStatuses.pageInfo.hasNextPage],
    [240, true],
  );
  assert.ok(requests().length <= 4, `${requests().length} requests`);
});

test('`first` must be from 0 to 250', async t => {
  const { tenant, query } = await startGateway(t);
  tenant.addTasks(251, ENDED);
  const most = await query(PAGE, { first: 250 });
  assert.equal(most.data.taskStatuses.nodes.length, 250);
  assert.equal(most.data.taskStatuses.pageInfo.hasNextPage, true);
  const none = await query(PAGE, { first: 0 });
  assert.deepEqual(
    [none.data.taskStatuses.nodes, none.data.taskStatuses.pageInfo.hasNextPage],
    [[], true],
  );
  for (const first of [-1, 251])
    assert.equal((await query(PAGE, { first })).errors?.[0]?.extensions.code, 'BAD_USER_INPUT');
});

test('tasks that start or complete while a caller pages neither repeat a row nor hide one', async t => {
  const clock = new HandClock();
  const { tenant, query } = await startGateway(t, { clock });
  const ids: string[] = [];
  for (let count = 0; count < 30; count++) {
    ids.push(tenant.addTask(LASTING));
    clock.advance(1_000);
  }
  const read: string[] = [];
  let ended = 0;
  for (let after: string | null = null, hasNext = true; hasNext;) {
    const { data }: any = await query(PAGE, {
      first: 4,
      after,
      filter: { completionStatus: { isNull: true } },
    });
    read.push(...data.taskStatuses.nodes.map(({ id }: any) => id));
    after = data.taskStatuses.pageInfo.endCursor;
    hasNext = data.taskStatuses.pageInfo.hasNextPage;
    // Two of the tasks have completed, and one was created, so later tasks move up, then down.
    for (const id of read.slice(ended, ended + 2)) tenant.finish(id);
    ended += 2;
    tenant.addTask(LASTING);
    clock.advance(1_000);
  }
  assert.deepEqual(read, ids.toReversed());
});

test('tasks are matched by id even if upstream repeats, reorders or omits rows', async t => {
  const { sandbox, tenant, query } = await startGateway(t);
  const ids = tenant.addTasks(20, ENDED);
  const ask = async () => {
    const { data } = await query(
      `{ ${ids.map((id, place) => `t${place}: taskStatus(id: "${id}") { id }`).join(' ')} }`,
    );
    return Object.values(data).map((task: any) => task?.id ?? null);
  };
  for (const kind of ['repeat-row', 'reorder-rows'] as const) {
    sandbox.faults.order({ fault: { kind }, times: 1 });
    assert.deepEqual(await ask(), ids, kind);
  }
  sandbox.faults.order({ fault: { kind: 'omit-row' }, times: 1 });
  const answer = await ask();
  assert.equal(answer.filter(id => id === null).length, 1);
  assert.ok(answer.every((id, place) => id === null || id === ids[place]));

  sandbox.faults.order({ fault: { kind: 'repeat-row' }, times: 1 });
  const { data } = await query(PAGE, { first: 10 });
  const listed = data.taskStatuses.nodes.map(({ id }: any) => id);
  assert.equal(new Set(listed).size, listed.length);
});

test('an unreadable task is an error of its own field, and in a list does not affect other tasks', async t => {
  const { sandbox, tenant, query } = await startGateway(t);
  const ids = tenant.addTasks(3, ENDED);
  sandbox.faults.order({ fault: { kind: 'malformed-row' }, times: 1 });
  const single = await query(
    `{ ${ids.map((id, place) => `t${place}: taskStatus(id: "${id}") { id }`).join(' ')} }`,
  );
  assert.equal(Object.values(single.data).filter(task => task !== null).length, 2);
  assert.deepEqual(
    single.errors?.map(({ extensions }) => extensions.code),
    ['UPSTREAM_INVALID_RESPONSE'],
  );

  sandbox.faults.order({ fault: { kind: 'malformed-row' }, times: 1 });
  const list = await query('{ mine: taskStatuses { nodes { id } } }');
  assert.equal(list.data.mine.nodes.length, 2);
  assert.deepEqual(
    list.errors?.map(({ path, extensions }) => [path, extensions.code]),
    [[['mine'], 'UPSTREAM_INVALID_RESPONSE']],
  );
});

test('a task has every field, with dates in UTC and raw upstream values', async t => {
  const { tenant, query } = await startGateway(t);
  const [source] = tenant.sources;
  const id = tenant.addTask({
    ...ENDED,
    target: source,
    status: 'PARTIAL_SUCCESS',
    type: 'WORKFLOW',
    dateStyle: 'space',
    keepsZeroPercent: true,
    hasDefinition: true,
    message: { type: 'DEBUG', key: 'k', localized: true },
  });
  const { data, errors } = await query(
    `query ($id: ID!) { taskStatus(id: $id) {
      type rawType uniqueName description parentName launcher created modified launched completed completionStatus rawCompletionStatus
      target { id type rawType name source { id } identity { id } } messages { type key localizedText { locale message } parameters }
      returns { name attributeName } attributes progress percentComplete state effectivePercentComplete elapsedSeconds estimatedCompletion
      taskDefinitionSummary { id uniqueName description parentName executor arguments }
    } }`,
    { id },
  );
  assert.equal(errors, undefined);
  const task = data.taskStatus;
  assert.deepEqual(
    [task.type, task.rawType, task.completionStatus, task.rawCompletionStatus],
    ['UNKNOWN', 'WORKFLOW', 'UNKNOWN', 'PARTIAL_SUCCESS'],
  );
  assert.deepEqual(
    [task.state, task.percentComplete, task.effectivePercentComplete, task.estimatedCompletion],
    ['COMPLETED', 0, 100, null],
  );
  for (const date of ['created', 'modified', 'launched', 'completed'])
    assert.match(task[date], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.deepEqual(task.target, {
    id: source.id,
    type: 'APPLICATION',
    rawType: 'APPLICATION',
    name: source.name,
    source: { id: source.id },
    identity: null,
  });
  assert.deepEqual(task.messages, [
    { type: 'UNKNOWN', key: 'k', localizedText: { locale: 'en-US', message: 'k' }, parameters: [] },
  ]);
  assert.equal(task.attributes.appId, source.id);
  assert.equal(typeof task.taskDefinitionSummary.arguments.serviceMethod, 'string');
});

test('a source has its tasks and its latest task', async t => {
  const clock = new HandClock();
  const { tenant, query } = await startGateway(t, { clock });
  const [source, other] = tenant.sources;
  const ids: string[] = [];
  for (let count = 0; count < 3; count++) {
    ids.push(tenant.addTask({ ...ENDED, target: source, status: 'SUCCESS' }));
    tenant.addTask({ ...ENDED, target: other, status: 'SUCCESS' });
    clock.advance(1_000);
  }
  const { data } = await query(
    `query ($id: ID!, $other: ID!) { taskStatus(id: $id) { target { source {
      latestTask { id } tasks(first: 2) { totalCount nodes { id } } none: tasks(filter: { sourceId: { eq: $other } }) { nodes { id } }
    } } } }`,
    { id: ids[0], other: other.id },
  );
  assert.deepEqual(data.taskStatus.target.source, {
    latestTask: { id: ids[2] },
    tasks: { totalCount: 3, nodes: [{ id: ids[2] }, { id: ids[1] }] },
    none: { nodes: [] },
  });
});
