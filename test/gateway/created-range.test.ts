import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Tenant } from '../../src/sandbox/tenant.ts';
import { API_VERSIONS } from '../../src/upstream/versions.ts';
import { HandClock } from '../support/hand-clock.ts';
import { startGateway } from '../support/start.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const LASTING = { queueMs: 0, runMs: 90 * DAY_MS };
const PAGE = `query ($filter: TaskStatusFilter, $direction: TaskStatusOrderDirection!, $first: Int, $after: String) {
  taskStatuses(filter: $filter, orderBy: { direction: $direction }, first: $first, after: $after) {
    nodes { id } pageInfo { hasNextPage endCursor } totalCount
  }
}`;
const NODES = `query ($filter: TaskStatusFilter, $direction: TaskStatusOrderDirection = DESC, $first: Int, $after: String) {
  taskStatuses(filter: $filter, orderBy: { direction: $direction }, first: $first, after: $after) {
    nodes { id } pageInfo { hasNextPage endCursor }
  }
}`;
const COUNT = 'query ($filter: TaskStatusFilter) { taskStatuses(filter: $filter) { totalCount } }';

interface Created {
  id: string;
  created: number;
}

interface Range {
  gte?: number;
  lt?: number;
}

type Gateway = Awaited<ReturnType<typeof startGateway>>;

/** Adds tasks, `perMoment` of them at one moment, and lets `gapMs` pass after each moment. */
function addTasks(
  tenant: Tenant,
  clock: HandClock,
  { count, gapMs, perMoment = 1 }: { count: number; gapMs: number; perMoment?: number },
): Created[] {
  return Array.from({ length: count }, (_, place) => {
    const task = { id: tenant.addTask(ENDED), created: clock.now() };
    if (place % perMoment === perMoment - 1) clock.advance(gapMs);
    return task;
  });
}

function toFilter({ gte, lt }: Range) {
  return {
    created: {
      ...(gte !== undefined && { gte: new Date(gte).toISOString() }),
      ...(lt !== undefined && { lt: new Date(lt).toISOString() }),
    },
  };
}

function isIn({ gte = -Infinity, lt = Infinity }: Range, { created }: Created): boolean {
  return gte <= created && created < lt;
}

/** Reads a range page by page, until there is none. `onPage` is called between two pages. */
async function readAll(
  { query }: Gateway,
  variables: Record<string, unknown>,
  onPage = (_totalCount: number) => {},
): Promise<string[]> {
  const ids: string[] = [];
  for (let after: string | null = null; ;) {
    const { data, errors }: any = await query(PAGE, { ...variables, after });
    assert.equal(errors, undefined);
    const { nodes, pageInfo, totalCount } = data.taskStatuses;
    ids.push(...nodes.map(({ id }: Created) => id));
    onPage(totalCount);
    if (!pageInfo.hasNextPage) return ids;
    after = pageInfo.endCursor;
  }
}

for (const version of API_VERSIONS)
  test(`${version}: pages and counts of a range are those of a filter over all tasks`, async t => {
    const clock = new HandClock();
    const gateway = await startGateway(t, { clock, env: { UPSTREAM_API_VERSION: version } });
    const tasks = addTasks(gateway.tenant, clock, { count: 400, gapMs: HOUR_MS, perMoment: 3 });
    const [first, last] = [tasks.at(0)!.created, tasks.at(-1)!.created];
    const middle = tasks[200]!.created;
    const ranges: Range[] = [
      { gte: middle },
      { lt: middle },
      { gte: middle, lt: middle + 1 },
      { gte: middle + 1, lt: middle + HOUR_MS },
      { gte: middle - 20 * HOUR_MS, lt: middle + 3 * HOUR_MS },
      { gte: first, lt: last },
      { gte: 0, lt: last + DAY_MS },
      { lt: first },
      { gte: last + 1 },
    ];
    for (const range of ranges)
      for (const direction of ['ASC', 'DESC']) {
        const expected = tasks.filter(task => isIn(range, task)).map(({ id }) => id);
        const label = `${JSON.stringify(range)} ${direction}`;
        const read = await readAll(
          gateway,
          { filter: toFilter(range), direction, first: 130 },
          total => assert.equal(total, expected.length, label),
        );
        assert.equal(new Set(read).size, read.length, label);
        assert.deepEqual(read.toSorted(), expected.toSorted(), label);
      }
  });

test('while tasks are created and end, a range holds what a filter over all tasks holds', async t => {
  const clock = new HandClock();
  const gateway = await startGateway(t, { clock });
  const { tenant } = gateway;
  const tasks = addTasks(tenant, clock, { count: 300, gapMs: 60_000, perMoment: 2 });
  const running = new Set<string>();
  const add = (count: number) => {
    for (let added = 0; added < count; added++) {
      const id = tenant.addTask(LASTING);
      tasks.push({ id, created: clock.now() });
      running.add(id);
      if (added % 3 === 0) clock.advance(20_000);
    }
  };
  const end = (count: number) => {
    for (const id of [...running].slice(0, count)) {
      tenant.finish(id);
      running.delete(id);
    }
  };
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        from: fc.double({ min: 0, max: 1.1, noNaN: true }),
        length: fc.double({ min: 0.01, max: 0.5, noNaN: true }),
        bounds: fc.constantFrom('gte', 'lt', 'both'),
        direction: fc.constantFrom('ASC', 'DESC'),
        first: fc.integer({ min: 5, max: 60 }),
        onlyRunning: fc.boolean(),
        events: fc.array(
          fc.record({ add: fc.integer({ min: 0, max: 8 }), end: fc.integer({ min: 0, max: 8 }) }),
          { maxLength: 6 },
        ),
      }),
      async ({ from, length, bounds, direction, first, onlyRunning, events }) => {
        add(10);
        const span = clock.now() - tasks[0]!.created;
        const gte = Math.floor(tasks[0]!.created + from * span);
        const lt = Math.floor(gte + length * span);
        const range: Range = {
          ...(bounds !== 'lt' && { gte }),
          ...(bounds !== 'gte' && { lt }),
        };
        const matching = () =>
          tasks
            .filter(task => isIn(range, task) && (!onlyRunning || running.has(task.id)))
            .map(({ id }) => id);
        const atStart = matching();
        const ever = new Set(atStart);
        const pending = [...events];
        const filter = {
          ...toFilter(range),
          ...(onlyRunning && { completionStatus: { isNull: true } }),
        };
        const read = await readAll(gateway, { filter, direction, first }, totalCount => {
          assert.equal(totalCount, matching().length);
          const event = pending.shift();
          if (event) {
            add(event.add);
            end(event.end);
          }
          for (const id of matching()) ever.add(id);
        });
        const atEnd = new Set(matching());
        assert.equal(new Set(read).size, read.length, 'nothing twice');
        assert.deepEqual(
          read.filter(id => !ever.has(id)),
          [],
          'nothing else',
        );
        assert.deepEqual(
          atStart.filter(id => atEnd.has(id) && !read.includes(id)),
          [],
          'nothing missing',
        );
      },
    ),
    { numRuns: 25 },
  );
});

test('over 20,000 tasks, the last day costs a request a page, and a bound costs few', async t => {
  const clock = new HandClock();
  const gateway = await startGateway(t, { clock });
  const { query, requests } = gateway;
  addTasks(gateway.tenant, clock, { count: 20_000, gapMs: (60 * DAY_MS) / 20_000 });
  const costOf = async (text: string, variables: Record<string, unknown>) => {
    const before = requests().length;
    const { data, errors } = await query(text, variables);
    assert.equal(errors, undefined);
    return { ...data.taskStatuses, cost: requests().length - before };
  };

  const now = clock.now();
  const filter = toFilter({ gte: now - DAY_MS });
  let after: string | null = null;
  for (let page = 1; page <= 10; page++) {
    const { cost, pageInfo, nodes } = await costOf(NODES, { filter, first: 30, after });
    assert.equal(cost, 1, `page ${page}`);
    assert.equal(nodes.length, 30);
    after = pageInfo.endCursor;
  }

  const count = await costOf(COUNT, { filter });
  assert.equal(count.totalCount, 333);
  assert.ok(count.cost <= 4, `${count.cost} requests`);
  clock.advance(30_000);
  const later = await costOf(COUNT, { filter: toFilter({ gte: clock.now() - DAY_MS }) });
  assert.ok(later.cost <= 2, `${later.cost} requests for a bound nearby`);

  for (const direction of ['ASC', 'DESC']) {
    const aDay = toFilter({ gte: now - 40 * DAY_MS, lt: now - 39 * DAY_MS });
    const first = await costOf(NODES, { filter: aDay, direction, first: 30 });
    assert.ok(first.cost <= 5, `${direction}: ${first.cost} requests for a search and a page`);
    assert.equal(first.nodes.length, 30);
    const next = await costOf(NODES, {
      filter: aDay,
      direction,
      first: 30,
      after: first.pageInfo.endCursor,
    });
    assert.equal(next.cost, 1, `${direction}: the second page`);
  }
});

test('the counts of a range are those of a filter over all tasks, a status each', async t => {
  const clock = new HandClock();
  const { tenant, query } = await startGateway(t, { clock });
  const statuses = ['SUCCESS', 'ERROR', null];
  const [source] = tenant.sources;
  const tasks = Array.from({ length: 240 }, (_, place) => {
    const status = statuses[place % 3] ?? null;
    const target = place % 2 === 0 ? source : tenant.sources[1];
    const options = { target, ...(status === null ? LASTING : { ...ENDED, status }) };
    const task = { id: tenant.addTask(options), created: clock.now(), status, target };
    if (place % 4 === 3) clock.advance(HOUR_MS);
    return task;
  });
  const numbers = '{ total running success error warning }';
  const counts = `query ($filter: TaskStatusFilter, $representations: [_Any!]!) {
    taskStatusCounts(filter: $filter) ${numbers}
    _entities(representations: $representations) { ... on Source { taskCounts(filter: $filter) ${numbers} } }
  }`;
  const representations = [{ __typename: 'Source', id: source.id }];
  for (const range of [
    { gte: tasks[100]!.created },
    { lt: tasks[100]!.created },
    { gte: tasks[50]!.created, lt: tasks[150]!.created + 1 },
  ]) {
    const { data, errors } = await query(counts, { filter: toFilter(range), representations });
    assert.equal(errors, undefined);
    const expected = (some: typeof tasks) => {
      const matching = some.filter(task => isIn(range, task));
      const of = (wanted: string | null) =>
        matching.filter(({ status }) => status === wanted).length;
      const [success, error, running] = [of('SUCCESS'), of('ERROR'), of(null)];
      return { total: matching.length, running, success, error, warning: 0 };
    };
    assert.deepEqual(data.taskStatusCounts, expected(tasks));
    const own = tasks.filter(({ target }) => target === source);
    assert.deepEqual(data._entities[0].taskCounts, expected(own));
  }
});

test('a range is answered from memory as any list is, and read anew for no-cache', async t => {
  const clock = new HandClock();
  const gateway = await startGateway(t, { clock, env: { MAX_STALENESS_MS: '1000' } });
  const { query, requests, tenant } = gateway;
  const tasks = addTasks(tenant, clock, { count: 300, gapMs: 60_000 });
  const variables = {
    filter: toFilter({ gte: tasks[50]!.created, lt: tasks[250]!.created }),
    direction: 'DESC',
    first: 10,
  };
  const cold = await query(PAGE, variables);
  // The search now begins where it has ended before.
  await query(PAGE, variables);
  const before = requests().length;
  assert.deepEqual(await query(PAGE, variables), cold);
  assert.equal(requests().length, before, 'from memory');
  await query(PAGE, variables, { 'cache-control': 'no-cache' });
  assert.ok(requests().length > before, 'from upstream');
  const afterNoCache = requests().length;
  clock.advance(1_000);
  await query(PAGE, variables);
  assert.ok(requests().length > afterNoCache, 'too old to be repeated');
});

test('where upstream does not count, ranges are read all the same', async t => {
  const clock = new HandClock();
  const gateway = await startGateway(t, { clock });
  const { sandbox, query } = gateway;
  const tasks = addTasks(gateway.tenant, clock, { count: 2_000, gapMs: 60_000 });
  sandbox.faults.order({ fault: { kind: 'no-count' }, times: 1_000 });
  const range = { gte: tasks[300]!.created, lt: tasks[500]!.created };
  const expected = tasks.slice(300, 500).map(({ id }) => id);
  for (const direction of ['ASC', 'DESC']) {
    const read = await readAll(gateway, { filter: toFilter(range), direction, first: 90 });
    assert.deepEqual(read, direction === 'ASC' ? expected : expected.toReversed());
  }
  const { data, errors } = await query(COUNT, { filter: toFilter({ gte: range.gte }) });
  assert.equal(data.taskStatuses.totalCount, null);
  assert.equal(errors?.[0]?.extensions['code'], 'UPSTREAM_INVALID_RESPONSE');
});

test('a cursor of another range continues at the nearer end of this one, or after its end', async t => {
  const clock = new HandClock();
  const { tenant, query, requests } = await startGateway(t, { clock });
  const tasks = addTasks(tenant, clock, { count: 100, gapMs: 60_000 });
  const cursorAt = async (place: number) => {
    const { data } = await query(NODES, { filter: {}, first: 100 - place });
    return data.taskStatuses.pageInfo.endCursor;
  };
  const filter = toFilter({ gte: tasks[40]!.created, lt: tasks[60]!.created });
  const read = async (after: string) => {
    const { data } = await query(NODES, { filter, after, first: 100 });
    return data.taskStatuses.nodes.map(({ id }: Created) => tasks.findIndex(one => one.id === id));
  };
  const down = (from: number) => Array.from({ length: from - 39 }, (_, place) => from - place);
  assert.deepEqual(await read(await cursorAt(80)), down(59));
  assert.deepEqual(await read(await cursorAt(50)), down(49));
  const past = await cursorAt(20);
  const before = requests().length;
  assert.deepEqual(await read(past), []);
  assert.equal(requests().length, before, 'nothing can follow');
});

test('a range without bounds is refused, and an empty one costs no request', async t => {
  const { query, requests } = await startGateway(t);
  for (const created of [{}, { gte: null }, { gte: null, lt: null }, { gte: 'yesterday' }]) {
    const { errors } = await query(NODES, { filter: { created } });
    assert.equal(errors?.[0]?.extensions['code'], 'BAD_USER_INPUT', JSON.stringify(created));
  }
  for (const range of [
    { gte: 1_000, lt: 1_000 },
    { gte: 2_000, lt: 1_000 },
  ]) {
    const { data, errors } = await query(PAGE, { filter: toFilter(range), direction: 'DESC' });
    assert.equal(errors, undefined);
    assert.deepEqual([data.taskStatuses.nodes, data.taskStatuses.totalCount], [[], 0]);
  }
  assert.equal(requests().length, 0);
});

const SOURCES = `query ($representations: [_Any!]!, $filter: TaskStatusFilter, $isCounted: Boolean = false) {
  _entities(representations: $representations) {
    ... on Source { tasks(filter: $filter, first: 3) { nodes { id } totalCount @include(if: $isCounted) } }
  }
}`;

test('the last hour of many sources costs as many requests as their newest tasks do', async t => {
  const clock = new HandClock();
  const { tenant, query, requests } = await startGateway(t, { clock });
  for (let hour = 0; hour < 3; hour++) {
    for (const target of tenant.sources) tenant.addTasks(2, { ...ENDED, target });
    clock.advance(HOUR_MS);
  }
  const representations = tenant.sources.map(({ id }) => ({ __typename: 'Source', id }));
  const filter = toFilter({ gte: clock.now() - HOUR_MS });
  const { data } = await query(SOURCES, { representations, filter });
  assert.deepEqual(
    data._entities.map(({ tasks }: any) => tasks.nodes.length),
    tenant.sources.map(() => 2),
  );
  assert.equal(requests().length, 1, requests().join('\n'));
});

test('the searches of a range count against MAX_UPSTREAM_REQUESTS where they are needed', async t => {
  const { query } = await startGateway(t, { env: { MAX_UPSTREAM_REQUESTS: '100' } });
  const representations = Array.from({ length: 50 }, (_, place) => ({
    __typename: 'Source',
    id: String(place),
  }));
  const filter = toFilter({ gte: 1_000 });
  const isRefused = async (variables: object) => {
    const { errors } = await query(SOURCES, { representations, ...variables });
    return errors?.[0]?.message.includes('MAX_UPSTREAM_REQUESTS') ?? false;
  };
  assert.equal(await isRefused({ filter }), false, 'newest first, up to a bound');
  assert.equal(await isRefused({ filter, isCounted: true }), true, 'each is counted');
  assert.equal(await isRefused({ filter: toFilter({ lt: 1_000 }) }), true, 'each is searched');

  const days = (count: number) =>
    Array.from({ length: count }, (_, day) => {
      const [gte, lt] = [day, day + 1].map(place => new Date(place * DAY_MS).toISOString());
      return `d${day}: taskStatusCounts(filter: { created: { gte: "${gte}", lt: "${lt}" } }) { total }`;
    });
  const isHistogramRefused = async (count: number) => {
    const { errors } = await query(`{ ${days(count).join(' ')} }`);
    return errors?.[0]?.message.includes('MAX_UPSTREAM_REQUESTS') ?? false;
  };
  assert.equal(await isHistogramRefused(7), false, 'a week, day by day');
  assert.equal(await isHistogramRefused(30), true, 'a month, day by day');
});
