import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HandClock } from '../support/hand-clock.ts';
import { type StartOptions, fetchToken, startGateway } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const INTERVAL_MS = 1_000;
const MAX_QUIET_MS = 5 * INTERVAL_MS;
/** Its row does not change between launch and end, as live tenants' do not. */
const AGGREGATION = {
  definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
  queueMs: 0,
  runMs: 20_000,
  steps: 1,
  reportsPercent: false,
  status: 'SUCCESS',
};
const OTHER = { ...AGGREGATION, definitionType: 'CLOUD_GROUP_AGGREGATION' };
const FIELDS = 'id state effectivePercentComplete';
const PLAIN = `subscription ($id: ID!) { taskProgress(id: $id) { ${FIELDS} } }`;
const SELECTING = `subscription ($id: ID!) {
  taskProgress(id: $id) { ${FIELDS} accountAggregation { status processedAccounts percentComplete } }
}`;
const CHANGES = `subscription { taskStatusChanged { kind taskStatus { ${FIELDS} } } }`;
const SELECTING_CHANGES = `subscription ($snapshot: Boolean = false, $filter: TaskStatusFilter) {
  taskStatusChanged(snapshot: $snapshot, filter: $filter) {
    kind taskStatus { ${FIELDS} accountAggregation { status percentComplete } }
  }
}`;

async function start(t: TestContext, options: StartOptions = {}) {
  const clock = new HandClock();
  const gateway = await startGateway(t, {
    clock,
    ...options,
    env: { PROGRESS_INTERVAL_MS: String(INTERVAL_MS), ...options.env },
  });
  const asked = () => gateway.requests().filter(path => path.includes('account-aggregations'));

  /** Whether only next polls wait for the clock: a request's deadline is further off. */
  const isBetweenPolls = () => clock.waiting > 0 && clock.lastInMs <= MAX_QUIET_MS;
  return {
    ...gateway,
    clock,
    asked,
    isBetweenPolls,
    /** Lets so many intervals pass, and each poll that falls due be over before the next. */
    async pass(intervals: number) {
      for (let passed = 0; passed < intervals; passed++) {
        await until(isBetweenPolls);
        clock.advance(INTERVAL_MS);
      }
      await until(isBetweenPolls);
    },
    /** Lets time pass until something has happened. */
    async passUntil(hasHappened: () => boolean) {
      for (;;) {
        await until(() => hasHappened() || isBetweenPolls());
        if (hasHappened()) return;
        clock.advance(INTERVAL_MS);
      }
    },
    /** The events that a subscription receives, as they come. */
    follow(query: string, variables: Record<string, unknown> = {}, authorization?: string) {
      const events: any[] = [];
      const stream = subscribe(t, 'sse', gateway.url, query, variables, authorization);
      const state = { events, isOver: false, leave: () => stream.return?.() };
      void (async () => {
        for await (const event of stream) events.push(event);
        state.isOver = true;
      })().catch(() => (state.isOver = true));
      return state;
    },
  };
}

test('a stream that selects the aggregation is sent each change of it, from the first event to the end, though the task does not change', async t => {
  const { tenant, follow, passUntil, asked } = await start(t);
  const id = tenant.addTask(AGGREGATION);
  const selecting = follow(SELECTING, { id });
  const plain = follow(PLAIN, { id });
  await until(() => selecting.events.length === 1 && plain.events.length === 1);
  assert.equal(selecting.events[0].data.taskProgress.accountAggregation.status, 'STARTED');
  await passUntil(() => selecting.isOver && plain.isOver);

  const tasks = selecting.events.map(({ data }) => data.taskProgress);
  assert.ok(tasks.length >= 10, `${tasks.length} events`);
  const percentages = tasks.map(task => task.effectivePercentComplete);
  assert.deepEqual(
    percentages,
    percentages.toSorted((one, other) => one - other),
  );
  for (const { state, effectivePercentComplete, accountAggregation } of tasks.slice(0, -1)) {
    assert.equal(state, 'RUNNING');
    assert.equal(effectivePercentComplete, accountAggregation.percentComplete ?? 0);
  }
  const { state, accountAggregation } = tasks.at(-1);
  assert.equal(state, 'COMPLETED');
  assert.deepEqual(
    [accountAggregation.status, accountAggregation.percentComplete],
    ['COMPLETED', 100],
  );
  assert.deepEqual(
    plain.events.map(({ data }) => data.taskProgress.state),
    ['RUNNING', 'COMPLETED'],
    'no event for a subscriber who does not select it',
  );
  assert.ok(asked().length <= 27, `${asked().length} requests for some 25 polls and the end`);
});

test('however many subscribers select an aggregation, it is polled once for all, and not at all for those who do not', async t => {
  const { tenant, follow, pass, asked, requests, isBetweenPolls } = await start(t);
  const id = tenant.addTask({ ...AGGREGATION, runMs: 3_600_000 });
  const other = tenant.addTask({ ...OTHER, runMs: 3_600_000 });
  const plain = Array.from({ length: 20 }, () => follow(PLAIN, { id }));
  const others = Array.from({ length: 5 }, () => follow(SELECTING, { id: other }));
  await until(() => [...plain, ...others].every(({ events }) => events.length === 1));
  await pass(3);
  assert.deepEqual(asked(), []);
  assert.equal(others[0]?.events[0].data.taskProgress.accountAggregation, null);

  const selecting = Array.from({ length: 20 }, (_, place) =>
    follow(place % 2 === 0 ? SELECTING : SELECTING.replace('state', 'launched'), { id }),
  );
  await until(() => selecting.every(({ events }) => events.length === 1) && isBetweenPolls());
  const first = asked().length;
  const before = requests().length;
  await pass(1);
  assert.deepEqual(
    requests()
      .slice(before)
      .filter(path => path.includes('account-aggregations')).length,
    1,
    requests().slice(before).join('\n'),
  );
  assert.ok(first <= 20, 'reads of the first event are shared where they coincide');
  for (const { leave } of selecting) void leave();
  await until(() => isBetweenPolls());
  await pass(1);
  const left = asked().length;
  await pass(3);
  assert.equal(asked().length, left, 'the last to leave ends the polls');
});

test('a selection counts wherever it stands: in fragments, under an alias, by @include', async t => {
  const { tenant, follow, pass } = await start(t);
  const id = tenant.addTask(AGGREGATION);
  const shapes = [
    'subscription ($id: ID!) { taskProgress(id: $id) { ...On } } fragment On on TaskStatus { p: accountAggregation { percentComplete } }',
    'subscription ($id: ID!) { ... on Subscription { task: taskProgress(id: $id) { ... { p: accountAggregation { percentComplete } } } } }',
    'subscription ($id: ID!, $if: Boolean = true) { taskProgress(id: $id) { p: accountAggregation @include(if: $if) { percentComplete } } }',
  ];
  const streams = shapes.map(shape => follow(shape, { id }));
  const without = follow(shapes[2] ?? '', { id, if: false });
  await until(() => [...streams, without].every(({ events }) => events.length === 1));
  await pass(10);
  for (const { events } of streams) assert.ok(events.length > 3, `${events.length} events`);
  assert.equal(without.events.length, 1);
});

test('a list is sent changes of the aggregations on it, with a snapshot and without, to those who select them', async t => {
  const { tenant, follow, pass, passUntil, isBetweenPolls } = await start(t);
  const ids = tenant.addTasks(3, AGGREGATION);
  tenant.addTasks(2, { ...OTHER, runMs: 3_600_000 });
  const snapshot = follow(SELECTING_CHANGES, { snapshot: true });
  const changes = follow(SELECTING_CHANGES);
  const plain = follow(CHANGES);
  await until(() => snapshot.events.length >= 5 && isBetweenPolls());
  await pass(3);
  assert.deepEqual(
    [changes, plain].map(({ events }) => events.length),
    [0, 0],
    'no aggregation has changed',
  );
  const added = tenant.addTask(AGGREGATION);
  const endsOf = ({ events }: typeof snapshot) =>
    events
      .map(({ data }) => data.taskStatusChanged)
      .filter(({ kind }) => kind === 'COMPLETED')
      .map(({ taskStatus }) => taskStatus);
  await passUntil(() => [snapshot, changes, plain].every(stream => endsOf(stream).length === 4));
  for (const stream of [snapshot, changes]) {
    for (const id of [...ids, added]) {
      const tasks = stream.events
        .map(({ data }) => data.taskStatusChanged.taskStatus)
        .filter(task => task?.id === id);
      assert.ok(tasks.length > 10, `${tasks.length} events`);
      assert.ok(tasks.every(task => task.accountAggregation !== null));
      const percentages = tasks.map(task => task.effectivePercentComplete);
      assert.deepEqual(
        percentages,
        percentages.toSorted((one, other) => one - other),
      );
      assert.deepEqual(tasks.at(-1).accountAggregation, {
        status: 'COMPLETED',
        percentComplete: 100,
      });
    }
    assert.ok(stream.events.every(({ errors }) => errors === undefined));
  }
  const kinds = plain.events.map(({ data }) => data.taskStatusChanged.kind);
  assert.deepEqual(kinds.toSorted(), ['ADDED', ...Array<string>(4).fill('COMPLETED')]);
});

test('the snapshot of a range with account aggregations is completed after its last task, and the stream after the last end', async t => {
  const { tenant, clock, follow, passUntil } = await start(t);
  const ids = tenant.addTasks(3, AGGREGATION);
  const other = tenant.addTask(OTHER);
  const lt = new Date(clock.now() + INTERVAL_MS).toISOString();
  const stream = follow(SELECTING_CHANGES, { snapshot: true, filter: { created: { lt } } });
  await passUntil(() => stream.isOver);
  const changes = stream.events.map(({ data, errors }) => {
    assert.equal(errors, undefined);
    return data.taskStatusChanged;
  });
  const idsOf = (some: typeof changes) => some.map(({ taskStatus }) => taskStatus.id).toSorted();
  const snapshot = changes.slice(0, 4);
  assert.ok(snapshot.every(({ kind }) => kind === 'SNAPSHOT'));
  assert.deepEqual(idsOf(snapshot), [...ids, other].toSorted());
  assert.deepEqual(changes[4], { kind: 'SNAPSHOT_COMPLETE', taskStatus: null });
  const ends = changes.filter(({ kind }) => kind === 'COMPLETED');
  assert.deepEqual(idsOf(ends), [...ids, other].toSorted());
  for (const { taskStatus } of ends)
    assert.equal(
      taskStatus.accountAggregation?.status,
      taskStatus.id === other ? undefined : 'COMPLETED',
    );
});

test('effectivePercentComplete never falls in a stream, though upstream finds more to process', async t => {
  const { sandbox, tenant, follow, pass, passUntil } = await start(t);
  const id = tenant.addTask(AGGREGATION);
  const stream = follow(SELECTING, { id });
  await until(() => stream.events.length === 1);
  await pass(12);
  const before = stream.events.at(-1).data.taskProgress.effectivePercentComplete;
  assert.ok(before > 0);
  sandbox.faults.order({
    fault: { kind: 'aggregation', mutation: 'totals-zero' },
    times: 2,
    route: 'aggregation',
  });
  await passUntil(() => stream.isOver);
  const tasks = stream.events.map(({ data }) => data.taskProgress);
  assert.ok(
    tasks
      .slice(1)
      .some(
        task =>
          task.effectivePercentComplete > 0 && task.accountAggregation.percentComplete === null,
      ),
    'the fault was seen',
  );
  const percentages = tasks.map(task => task.effectivePercentComplete);
  assert.deepEqual(
    percentages,
    percentages.toSorted((one, other) => one - other),
  );
});

test('where upstream forbids aggregations, a stream goes on with FORBIDDEN at that field, and asks but once a minute', async t => {
  const { sandbox, tenant, follow, asked, passUntil } = await start(t, {
    env: { AUTH_MODE: 'passthrough' },
  });
  const id = tenant.addTask({ ...AGGREGATION, runMs: 30_000 });
  const token = await fetchToken(sandbox, sandbox.clients.add({ level: 'HELPDESK' }));
  const stream = follow(SELECTING, { id }, `Bearer ${token}`);
  await until(() => stream.events.length === 1);
  await passUntil(() => stream.isOver);
  for (const { data, errors } of stream.events) {
    assert.equal(data.taskProgress.id, id);
    assert.equal(data.taskProgress.accountAggregation, null);
    assert.deepEqual(
      errors.map(({ path, extensions }: any) => [path, extensions.code]),
      [[['taskProgress', 'accountAggregation'], 'FORBIDDEN']],
    );
  }
  assert.equal(stream.events.at(-1).data.taskProgress.state, 'COMPLETED');
  assert.ok(asked().length <= 5, `${asked().length} requests`);
});

test('an aggregation that fails for a while is shown as it was read last, and the end is sent in time', async t => {
  const { sandbox, tenant, follow, pass, passUntil } = await start(t);
  const id = tenant.addTask(AGGREGATION);
  const stream = follow(SELECTING, { id });
  await until(() => stream.events.length === 1);
  await pass(14);
  const { accountAggregation } = stream.events.at(-1).data.taskProgress;
  assert.equal(accountAggregation.status, 'ACCOUNTS_COLLECTED');
  sandbox.faults.order({ fault: { kind: 'status', status: 400 }, route: 'aggregation' });
  await passUntil(() => stream.isOver);
  assert.ok(stream.events.every(({ errors }) => errors === undefined));
  assert.deepEqual(stream.events.at(-1).data.taskProgress.accountAggregation, accountAggregation);
});

test('where many aggregations of a list end at once and upstream does not answer for them, the ends are sent with what was read last', async t => {
  const { sandbox, tenant, clock, follow, pass, asked } = await start(t);
  const ids = tenant.addTasks(10, { ...AGGREGATION, runMs: 30_000 });
  const stream = follow(SELECTING_CHANGES, { snapshot: true });
  // The tasks and SNAPSHOT_COMPLETE.
  await until(() => stream.events.length === 11);
  await pass(15);
  sandbox.faults.order({ fault: { kind: 'latency', ms: 3_000 }, route: 'aggregation' });
  const before = asked().length;
  for (const id of ids) tenant.finish(id);
  const ends = () =>
    stream.events
      .map(({ data }) => data.taskStatusChanged)
      .filter(({ kind }) => kind === 'COMPLETED');
  await until(() => {
    clock.advance(20);
    return ends().length === 10;
  });
  for (const { taskStatus } of ends()) {
    assert.equal(taskStatus.effectivePercentComplete, 100);
    assert.equal(taskStatus.accountAggregation.status, 'ACCOUNTS_COLLECTED');
  }
  // One end was waited for, and the time for all of them was over. The others are polls under way
  // before.
  assert.ok(asked().length - before <= 11, `${asked().length - before} requests`);
});

test('beside readers who ask for all of the budget, forty aggregations in a list are all polled, and no reader is refused', async t => {
  const rate = { limit: 50, windowMs: 1_000 };
  const { tenant, sandbox, query, url } = await startGateway(t, {
    sandbox: { rateLimit: rate.limit, rateWindowMs: rate.windowMs },
    env: {
      UPSTREAM_RATE_LIMIT: String(rate.limit),
      UPSTREAM_RATE_WINDOW_MS: String(rate.windowMs),
      PROGRESS_INTERVAL_MS: '100',
    },
  });
  const ids = tenant.addTasks(40, { ...AGGREGATION, runMs: 20_000 });
  const seen = new Map<string, Set<number>>(ids.map(id => [id, new Set()]));
  void (async () => {
    for await (const { data } of subscribe(t, 'sse', url, SELECTING_CHANGES)) {
      const { id, state, accountAggregation } = data.taskStatusChanged.taskStatus;
      if (state === 'RUNNING') seen.get(id)?.add(accountAggregation.percentComplete);
    }
  })().catch(() => {});
  const areRead = () => [...seen.values()].every(({ size }) => size > 0);
  const answers = [];
  for (let count = 0; !areRead(); count++)
    answers.push(
      await query(
        `{ taskStatuses(filter: { launcher: { eq: "reader ${count}" } }) { nodes { id } } }`,
      ),
    );
  for (const { errors } of answers) assert.equal(errors, undefined);
  assert.ok(sandbox.journal.requests.every(({ status }) => status !== 429));
  assert.ok(sandbox.journal.worstWindow(rate.windowMs) <= rate.limit);
});
