import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSIONS } from '../../src/upstream/versions.ts';
import { HandClock, quietOf } from '../support/hand-clock.ts';
import { postGraphQL, startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';
import { TRANSPORTS, collect, subscribe } from '../support/subscribe.ts';

const PROGRESS =
  'subscription ($id: ID!) { taskProgress(id: $id) { id state percentComplete effectivePercentComplete completionStatus } }';
const CHANGES =
  'subscription ($filter: TaskStatusFilter, $snapshot: Boolean) { taskStatusChanged(filter: $filter, snapshot: $snapshot) { kind taskStatus { id state completionStatus } } }';
const STATE_MS = 1_000;
const LASTING = { queueMs: 0, runMs: 3_600_000 };

for (const transport of TRANSPORTS) {
  test(`${transport}: one subscriber gets every state up to COMPLETED, then the stream completes`, async t => {
    // The tenant's clock stands still until an event has arrived: no state is too short to be
    // polled.
    const clock = new HandClock(Date.now());
    const { tenant, url } = await startGateway(t, { sandbox: { clock } });
    const id = tenant.addTask({
      queueMs: STATE_MS,
      runMs: 4 * STATE_MS,
      statusLagMs: STATE_MS,
      steps: 4,
      reportsPercent: true,
      keepsZeroPercent: true,
      status: 'WARNING',
    });

    const events: any[] = [];
    for await (const { data } of subscribe(t, transport, url, PROGRESS, { id })) {
      events.push(data.taskProgress);
      clock.advance(STATE_MS);
    }

    assert.deepEqual(
      events.map(({ state, percentComplete }) => `${state} ${percentComplete}`),
      [
        'PENDING 0',
        'RUNNING 0',
        'RUNNING 25',
        'RUNNING 50',
        'RUNNING 75',
        'RUNNING 0',
        'COMPLETED 0',
      ],
    );
    assert.deepEqual(events.at(-1), {
      id,
      state: 'COMPLETED',
      percentComplete: 0,
      effectivePercentComplete: 100,
      completionStatus: 'WARNING',
    });
  });

  test(`${transport}: a completed task is sent as one event`, async t => {
    const { tenant, url } = await startGateway(t);
    const id = tenant.addTask({ queueMs: 0, runMs: 0, statusLagMs: 0 });
    const events = await collect(subscribe(t, transport, url, PROGRESS, { id }));
    assert.deepEqual(
      events.map(({ data }) => data.taskProgress.state),
      ['COMPLETED'],
    );
  });

  test(`${transport}: an unknown task is NOT_FOUND, and so is one that upstream no longer has`, async t => {
    const { tenant, url } = await startGateway(t);
    const [unknown] = await collect(subscribe(t, transport, url, PROGRESS, { id: 'unknown' }));
    assert.equal(unknown.errors[0].extensions.code, 'NOT_FOUND');

    const id = tenant.addTask(LASTING);
    const events = subscribe(t, transport, url, PROGRESS, { id });
    assert.equal((await events.next()).value.data.taskProgress.state, 'RUNNING');
    tenant.remove(id);
    assert.equal((await events.next()).value.errors[0].extensions.code, 'NOT_FOUND');
    assert.equal((await events.next()).done, true);
  });

  test(`${transport}: a snapshot and its end are followed by tasks that are added, change and complete`, async t => {
    const { tenant, url } = await startGateway(t);
    const there = tenant.addTask(LASTING);
    const events = subscribe(t, transport, url, CHANGES, { snapshot: true });
    const next = async () => {
      const { kind, taskStatus } = (await events.next()).value.data.taskStatusChanged;
      return [kind, taskStatus?.id];
    };
    assert.deepEqual(await next(), ['SNAPSHOT', there]);
    assert.deepEqual(await next(), ['SNAPSHOT_COMPLETE', undefined]);
    const added = tenant.addTask(LASTING);
    assert.deepEqual(await next(), ['ADDED', added]);
    tenant.correct(there, { completedAt: Date.now() });
    assert.deepEqual(await next(), ['UPDATED', there]);
    tenant.finish(added, 'ERROR');
    assert.deepEqual(await next(), ['COMPLETED', added]);
    await events.return?.();
  });
}

test('two subscribers to one task share one watch, which ends when the last leaves', async t => {
  const clock = new HandClock();
  const { tenant, url, requests } = await startGateway(t, { clock });
  const id = tenant.addTask(LASTING);
  const one = subscribe(t, 'sse', url, PROGRESS, { id });
  const other = subscribe(t, 'ws', url, PROGRESS, { id });
  await Promise.all([one.next(), other.next()]);
  assert.equal(requests().length, 1, 'one read served both');
  assert.equal(clock.waiting, 1, 'one poll is planned');

  await one.return?.();
  tenant.correct(id, { completionStatus: 'ERROR' });
  const last = other.next();
  clock.advance(20);
  assert.equal((await last).value.data.taskProgress.completionStatus, 'ERROR');
  assert.equal(requests().length, 2, 'one poll');

  await other.return?.();
  await quietOf(clock, 20);
  const quiet = requests().length;
  clock.advance(60_000);
  assert.equal((await postGraphQL(url, '{ taskStatuses { totalCount } }')).errors, undefined);
  assert.equal(requests().length, quiet + 1, 'nothing but the requested task');
});

test('a filtered subscription gets tasks that start or stop matching when they complete', async t => {
  const { tenant, url } = await startGateway(t);
  const id = tenant.addTask(LASTING);
  const failed = subscribe(t, 'ws', url, CHANGES, {
    filter: { completionStatus: { eq: 'ERROR' } },
  });
  const running = subscribe(t, 'ws', url, CHANGES, {
    filter: { completionStatus: { isNull: true } },
    snapshot: true,
  });
  const received = async (events: AsyncIterator<any>) => {
    const { kind, taskStatus } = (await events.next()).value.data.taskStatusChanged;
    return [kind, taskStatus?.id, taskStatus?.completionStatus];
  };
  const first = received(failed);
  assert.deepEqual(await received(running), ['SNAPSHOT', id, null]);
  assert.deepEqual(await received(running), ['SNAPSHOT_COMPLETE', undefined, undefined]);
  const marker = tenant.addTask(LASTING);
  assert.deepEqual(await received(running), ['ADDED', marker, null]);
  tenant.finish(id, 'ERROR');
  assert.deepEqual(await received(running), ['COMPLETED', id, 'ERROR']);
  assert.deepEqual(await first, ['COMPLETED', id, 'ERROR']);
});

test('a task that starts and ends between two polls is published', async t => {
  const { tenant, url } = await startGateway(t, { env: { PROGRESS_INTERVAL_MS: '300' } });
  const events = subscribe(t, 'ws', url, CHANGES, { snapshot: true });
  const there = tenant.addTask(LASTING);
  const first = (await events.next()).value.data.taskStatusChanged;
  assert.equal(first.taskStatus.id, there);
  assert.equal((await events.next()).value.data.taskStatusChanged.kind, 'SNAPSHOT_COMPLETE');
  const brief = tenant.addTask({ queueMs: 0, runMs: 0, statusLagMs: 0, status: 'SUCCESS' });
  const { kind, taskStatus } = (await events.next()).value.data.taskStatusChanged;
  assert.deepEqual(
    [kind, taskStatus],
    ['COMPLETED', { id: brief, state: 'COMPLETED', completionStatus: 'SUCCESS' }],
  );
});

test('an unsupported filter is refused with a code', async t => {
  const { tenant, url } = await startGateway(t, { env: { UPSTREAM_API_VERSION: 'v2025' } });
  const ids = tenant.addTasks(200, LASTING);
  for (const filter of [
    { id: { in: [] } },
    { id: { in: ids } },
    { launcher: { eq: 'System' } },
    { definitionType: { eq: 'QUARTZ' } },
  ]) {
    const [refused] = await collect(subscribe(t, 'sse', url, CHANGES, { filter }));
    assert.equal(
      refused.errors[0].extensions.code,
      'BAD_USER_INPUT',
      JSON.stringify(filter).slice(0, 60),
    );
  }
});

test('temporary upstream failures do not end a stream', async t => {
  const { sandbox, tenant, url, requests } = await startGateway(t);
  const id = tenant.addTask(LASTING);
  const events = subscribe(t, 'sse', url, PROGRESS, { id });
  await events.next();
  sandbox.faults.order({ fault: { kind: 'status', status: 503 }, times: 2 });
  sandbox.faults.order({ fault: { kind: 'drop' }, times: 4 });
  sandbox.faults.order({ fault: { kind: 'omit-row' }, times: 8 });
  const before = requests().length;
  await until(() => requests().length >= before + 16);
  tenant.finish(id);
  assert.equal((await events.next()).value.data.taskProgress.state, 'COMPLETED');
});

test('a task that disappears does not affect other tasks', async t => {
  const { sandbox, tenant, url, requests } = await startGateway(t);
  const [deleted = '', there = ''] = tenant.addTasks(2, LASTING);
  const ended = subscribe(t, 'ws', url, PROGRESS, { id: deleted });
  const kept = subscribe(t, 'ws', url, PROGRESS, { id: there });
  await Promise.all([ended.next(), kept.next()]);
  sandbox.faults.order({ fault: { kind: 'status', status: 403 }, route: 'task', times: 3 });
  tenant.remove(deleted);
  const pollCount = () => requests().filter(request => request.endsWith(deleted)).length;
  await until(() => pollCount() >= 4);
  assert.equal((await ended.next()).value.errors[0].extensions.code, 'NOT_FOUND');
  tenant.finish(there);
  assert.equal((await kept.next()).value.data.taskProgress.state, 'COMPLETED');
});

for (const version of API_VERSIONS)
  test(`${version}: subscribers get progress up to the end`, async t => {
    const { tenant, url, requests } = await startGateway(t, {
      env: { UPSTREAM_API_VERSION: version },
    });
    const running = tenant.addTasks(5, LASTING);
    const [id = ''] = running;
    const progress = subscribe(t, 'ws', url, PROGRESS, { id });
    const changes = subscribe(t, 'ws', url, CHANGES, { filter: { id: { in: running } } });
    assert.equal((await progress.next()).value.data.taskProgress.state, 'RUNNING');
    const received = collectTasks(changes, running.length);
    // The watch already polls all five tasks, so every later change is new to it.
    const before = requests().length;
    await until(() => requests().length > before + 10);
    for (const ending of running) tenant.finish(ending);
    assert.equal((await progress.next()).value.data.taskProgress.state, 'COMPLETED');
    assert.equal((await progress.next()).done, true);
    assert.deepEqual(await received, running.map(task => `COMPLETED ${task}`).sort());
  });

async function collectTasks(changes: AsyncIterator<any>, count: number): Promise<string[]> {
  const received: string[] = [];
  while (received.length < count) {
    const { kind, taskStatus } = (await changes.next()).value.data.taskStatusChanged;
    received.push(`${kind} ${taskStatus.id}`);
  }
  return received.sort();
}
