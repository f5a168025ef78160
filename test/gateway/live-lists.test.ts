import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock } from '../support/hand-clock.ts';
import { WITHOUT_REDIS, redisUrlFor } from '../support/redis.ts';
import { startGateway } from '../support/start.ts';
import { TRANSPORTS, collect, subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const LASTING = { queueMs: 0, runMs: 90 * 86_400_000 };
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const LIVE = `subscription ($filter: TaskStatusFilter, $snapshot: Boolean = true) {
  taskStatusChanged(filter: $filter, snapshot: $snapshot) { kind taskStatus { id } }
}`;
const RUNNING = { completionStatus: { isNull: true } };

/** An event as text: its kind, and the id of its task if it has one. */
function textOf({ data, errors }: any): string {
  if (errors) return errors[0].extensions.code;
  const { kind, taskStatus } = data.taskStatusChanged;
  return taskStatus === null ? kind : `${kind} ${taskStatus.id}`;
}

/** Keeps the events of a stream as text, and whether it has completed. */
function record(results: AsyncIterable<any>) {
  const recorded = { events: [] as string[], isComplete: false };
  void (async () => {
    for await (const result of results) recorded.events.push(textOf(result));
    recorded.isComplete = true;
  })().catch(() => {});
  return recorded;
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

for (const transport of TRANSPORTS)
  test(`${transport}: SNAPSHOT_COMPLETE is sent if a list is empty, then what is added`, async t => {
    const { tenant, url } = await startGateway(t);
    tenant.addTask(ENDED);
    const events = subscribe(t, transport, url, LIVE, { filter: RUNNING });
    assert.deepEqual((await events.next()).value.data.taskStatusChanged, {
      kind: 'SNAPSHOT_COMPLETE',
      taskStatus: null,
    });
    const added = tenant.addTask(LASTING);
    assert.equal(textOf((await events.next()).value), `ADDED ${added}`);
  });

test('the snapshot of a second subscriber has an end of its own, and one without a snapshot has none', async t => {
  const { tenant, url, requests } = await startGateway(t);
  const ids = tenant.addTasks(3, LASTING);
  const snapshot = [...ids.map(id => `SNAPSHOT ${id}`), 'SNAPSHOT_COMPLETE'].toSorted();
  const without = record(subscribe(t, 'ws', url, LIVE, { snapshot: false }));
  await until(() => requests().length > 0);
  const first = record(subscribe(t, 'ws', url, LIVE));
  await until(() => first.events.length === 4);
  const late = record(subscribe(t, 'sse', url, LIVE));
  await until(() => late.events.length === 4);
  const added = tenant.addTask(LASTING);
  await until(() => [first, late, without].every(({ events }) => events.at(-1)?.includes(added)));
  for (const { events } of [first, late]) {
    assert.equal(events.indexOf('SNAPSHOT_COMPLETE'), 3);
    assert.deepEqual(events.slice(0, 4).toSorted(), snapshot);
    assert.deepEqual(events.slice(4), [`ADDED ${added}`]);
  }
  assert.deepEqual(without.events, [`ADDED ${added}`]);
});

test('a snapshot that fails ends with an error, never with SNAPSHOT_COMPLETE', async t => {
  const { sandbox, tenant, url } = await startGateway(t, {
    env: { PROGRESS_INTERVAL_MS: '60000' },
  });
  const { length: count } = tenant.addTasks(1_500, LASTING);
  const events = subscribe(t, 'ws', url, LIVE, { filter: RUNNING });
  const received = [textOf((await events.next()).value)];
  sandbox.faults.order({ fault: { kind: 'status', status: 403 } });
  received.push(...(await collect(events)).map(textOf));
  assert.equal(received.at(-1), 'FORBIDDEN');
  assert.ok(received.length < count, 'pages were left to read');
  assert.ok(!received.includes('SNAPSHOT_COMPLETE'));
});

test(
  'in a fleet, each subscriber gets the end of its snapshot once, whichever instance polls',
  { skip: WITHOUT_REDIS },
  async t => {
    const env = { REDIS_URL: await redisUrlFor(t) };
    const one = await startGateway(t, { env });
    const other = await startGateway(t, { env, over: one.sandbox });
    const ids = one.tenant.addTasks(2, LASTING);
    const subscribers = [one, other, one, other].map(({ url }) =>
      record(subscribe(t, 'ws', url, LIVE)),
    );
    await until(() => subscribers.every(({ events }) => events.length >= 3));
    const added = one.tenant.addTask(LASTING);
    await until(() => subscribers.every(({ events }) => events.length >= 4));
    for (const { events } of subscribers) {
      assert.deepEqual(events.slice(0, 2).toSorted(), ids.map(id => `SNAPSHOT ${id}`).toSorted());
      assert.deepEqual(events.slice(2), ['SNAPSHOT_COMPLETE', `ADDED ${added}`]);
    }
  },
);

test('a client that was cut off learns from its next snapshot which tasks have ended', async t => {
  const { tenant, url, query } = await startGateway(t);
  const [there = '', ending = ''] = tenant.addTasks(2, LASTING);
  const first = subscribe(t, 'ws', url, LIVE, { filter: RUNNING });
  const known = new Set<string>();
  const readSnapshot = async (events: AsyncIterator<any>, list: Set<string>) => {
    for (;;) {
      const { kind, taskStatus } = (await events.next()).value.data.taskStatusChanged;
      if (kind === 'SNAPSHOT_COMPLETE') return;
      list.add(taskStatus.id);
    }
  };
  await readSnapshot(first, known);
  assert.deepEqual([...known].toSorted(), [there, ending].toSorted());

  await first.return?.();
  tenant.finish(ending, 'WARNING');
  const begun = tenant.addTask(LASTING);
  const now = new Set<string>();
  await readSnapshot(subscribe(t, 'ws', url, LIVE, { filter: RUNNING }), now);
  assert.deepEqual([...now].toSorted(), [there, begun].toSorted());
  const ended = [...known].filter(id => !now.has(id));
  assert.deepEqual(ended, [ending]);
  const { data } = await query(`{ taskStatus(id: "${ending}") { state completionStatus } }`);
  assert.deepEqual(data.taskStatus, { state: 'COMPLETED', completionStatus: 'WARNING' });
});

/** A gateway and a clock held by hand; time passes while `passUntil` waits. */
async function startHeld(t: Parameters<typeof startGateway>[0], env: Record<string, string> = {}) {
  const clock = new HandClock();
  const gateway = await startGateway(t, { clock, env: { PROGRESS_INTERVAL_MS: '1000', ...env } });
  return {
    ...gateway,
    clock,
    passUntil: (condition: () => boolean) =>
      until(() => {
        if (condition()) return true;
        // A request in flight has a deadline, which is further off than the next poll.
        if (clock.waiting === 0 || clock.lastInMs <= 5_000) clock.advance(500);
        return false;
      }),
  };
}

for (const version of ['v1', 'v2024'])
  test(`${version}: a live list of a range has the tasks of the range only`, async t => {
    const { tenant, clock, url, passUntil } = await startHeld(t, { UPSTREAM_API_VERSION: version });
    const add = (fields: object) => {
      const id = tenant.addTask(fields);
      clock.advance(HOUR_MS);
      return id;
    };
    const [oldEnded, oldRunning] = [add(ENDED), add(LASTING)];
    const from = clock.now();
    const [ended, running] = [add(ENDED), add(LASTING)];
    const to = clock.now();
    const [laterEnded, laterRunning] = [add(ENDED), add(LASTING)];
    const inRange = record(
      subscribe(t, 'ws', url, LIVE, { filter: { created: { gte: iso(from), lt: iso(to) } } }),
    );
    const since = record(subscribe(t, 'ws', url, LIVE, { filter: { created: { gte: iso(to) } } }));
    await passUntil(() => inRange.events.length === 3 && since.events.length === 3);
    assert.deepEqual(
      inRange.events.splice(0).toSorted(),
      [`SNAPSHOT ${ended}`, `SNAPSHOT ${running}`, 'SNAPSHOT_COMPLETE'].toSorted(),
    );
    assert.deepEqual(
      since.events.splice(0).toSorted(),
      [`SNAPSHOT ${laterEnded}`, `SNAPSHOT ${laterRunning}`, 'SNAPSHOT_COMPLETE'].toSorted(),
    );

    const added = tenant.addTask(LASTING);
    tenant.finish(oldRunning);
    await passUntil(() => since.events.length === 1);
    tenant.finish(laterRunning);
    await passUntil(() => since.events.length === 2);
    tenant.finish(running);
    await passUntil(() => inRange.events.length === 1);
    assert.deepEqual(since.events, [`ADDED ${added}`, `COMPLETED ${laterRunning}`]);
    assert.deepEqual(inRange.events, [`COMPLETED ${running}`]);
    assert.ok(!since.isComplete, 'tasks may still be added');
    assert.notEqual(oldEnded, '');
  });

test('a range in the past completes once its tasks have ended, and not before', async t => {
  const { tenant, clock, url, requests, passUntil } = await startHeld(t);
  const running = tenant.addTask(LASTING);
  clock.advance(HOUR_MS);
  const to = clock.now();
  const later = tenant.addTask(LASTING);
  const past = { filter: { created: { lt: iso(to) } } };
  const without = record(subscribe(t, 'ws', url, LIVE, { ...past, snapshot: false }));
  await passUntil(() => requests().length > 0);
  const stream = record(subscribe(t, 'ws', url, LIVE, past));
  const everything = record(subscribe(t, 'ws', url, LIVE));
  await passUntil(() => stream.events.length === 2 && everything.events.length === 3);
  clock.advance(2 * MINUTE_MS);
  const marker = tenant.addTask(LASTING);
  // The head of the list is polled meanwhile.
  await passUntil(() => everything.events.length === 4);
  assert.equal(everything.events.at(-1), `ADDED ${marker}`);
  assert.ok(!stream.isComplete && !without.isComplete, 'a task of the range still runs');

  tenant.finish(running);
  await passUntil(() => stream.isComplete && without.isComplete);
  assert.deepEqual(stream.events, [
    `SNAPSHOT ${running}`,
    'SNAPSHOT_COMPLETE',
    `COMPLETED ${running}`,
  ]);
  assert.deepEqual(without.events, [`COMPLETED ${running}`]);
  assert.ok(!everything.isComplete);
  tenant.finish(later);
  await passUntil(() => everything.events.at(-1) === `COMPLETED ${later}`);
});

test('a range without a task completes after its snapshot', async t => {
  const { tenant, clock, url, passUntil } = await startHeld(t);
  clock.advance(HOUR_MS);
  const to = clock.now() - 2 * MINUTE_MS;
  tenant.addTask(LASTING);
  const stream = record(subscribe(t, 'sse', url, LIVE, { filter: { created: { lt: iso(to) } } }));
  await passUntil(() => stream.isComplete);
  assert.deepEqual(stream.events, ['SNAPSHOT_COMPLETE']);
});

test('subscribers of “the last day”, each with a bound of its own, share one watch', async t => {
  const { tenant, clock, url, requests, passUntil } = await startHeld(t);
  tenant.addTasks(3, LASTING);
  const streams = Array.from({ length: 20 }, (_, place) =>
    record(
      subscribe(t, 'ws', url, LIVE, {
        filter: { created: { gte: iso(clock.now() - 86_400_000 + place * 1_000) } },
      }),
    ),
  );
  await passUntil(() => streams.every(({ events }) => events.length === 4));
  const before = requests().length;
  const startedAt = clock.monotonic();
  await passUntil(() => clock.monotonic() - startedAt >= 60_000);
  const polls = requests().length - before;
  // One poll of the head and one of the tasks, at the most often every second.
  assert.ok(polls <= 120, `${polls} requests in a minute`);
});

test('a live list of an empty range is refused', async t => {
  const { url, requests } = await startGateway(t);
  for (const created of [{}, { gte: iso(2_000), lt: iso(1_000) }]) {
    const [refused] = await collect(subscribe(t, 'sse', url, LIVE, { filter: { created } }));
    assert.equal(refused.errors[0].extensions.code, 'BAD_USER_INPUT');
  }
  assert.equal(requests().length, 0);
});
