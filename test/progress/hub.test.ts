import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { GatewayError } from '../../src/errors.ts';
import { createLocalGroup } from '../../src/fleet/local.ts';
import { createLog } from '../../src/log.ts';
import { createHub } from '../../src/progress/hub.ts';
import type { TaskFilter } from '../../src/task/filter.ts';
import type { ListEvent } from '../../src/task/change.ts';
import { type Task, isCompleted } from '../../src/task/task.ts';
import type { Mailbox } from '../../src/progress/mailbox.ts';
import type { TaskSource } from '../../src/progress/source.ts';
import { readRow } from '../../src/upstream/wire.ts';
import { HandClock } from '../support/hand-clock.ts';
import { anyHistory, anyLuck, createUpstream, lastingHistory } from '../support/histories.ts';
import { openNoAggregations } from '../support/no-aggregations.ts';

const INTERVAL_MS = 1_000;

test('each subscriber gets the states of its task in order, and always the last', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(anyHistory('1'), anyHistory('2'), anyHistory('3')),
      fc.array(
        fc.record({
          task: fc.integer({ min: 0, max: 2 }),
          joinsAt: fc.integer({ min: 0, max: 20_000 }),
          readsEvery: fc.integer({ min: 1, max: 6 }),
        }),
        { minLength: 1, maxLength: 6 },
      ),
      anyLuck,
      async (histories, subscribers, outcomes) => {
        const clock = new HandClock();
        const hub = createHub({
          openAggregations: openNoAggregations,
          source: createUpstream(clock, histories, outcomes),
          openGroup: createLocalGroup,
          clock,
          log: createLog('silent'),
          intervalMs: INTERVAL_MS,
          maxSubscribers: 100,
        });
        const seen: number[][] = subscribers.map(() => []);
        const ended = subscribers.map(() => false);
        const streams = subscribers.map(
          () => null as ReturnType<typeof hub.subscribeToTask> | null,
        );
        const reading = new Set<number>();

        for (let tick = 0; tick < 1_000 && ended.includes(false); tick++) {
          for (const [place, { task, joinsAt, readsEvery }] of subscribers.entries()) {
            if (streams[place] === null && clock.monotonic() >= joinsAt)
              streams[place] = hub.subscribeToTask(histories[task]!.id);
            const stream = streams[place];
            if (!stream || reading.has(place) || tick % readsEvery !== 0) continue;
            reading.add(place);
            void stream.next().then(({ done, value }) => {
              reading.delete(place);
              if (done) ended[place] = true;
              else {
                assert.ok(
                  !(value instanceof GatewayError),
                  value instanceof GatewayError ? value.message : '',
                );
                seen[place]!.push(Number(value.attributes['step']));
              }
            });
          }
          clock.advance(250);
          await setImmediate();
        }

        for (const [place, steps] of seen.entries()) {
          const { states } = histories[subscribers[place]!.task]!;
          assert.ok(ended[place], 'the stream has ended');
          assert.equal(steps.at(-1), states.length - 1, 'with the end of the task');
          assert.deepEqual(
            steps,
            steps.toSorted((a, b) => a - b),
            'never backwards',
          );
          assert.equal(new Set(steps).size, steps.length, 'nothing twice');
        }
        assert.equal(hub.size, 0, 'no watch is left');
        clock.advance(60 * INTERVAL_MS);
        await setImmediate();
        assert.equal(clock.waiting, 0, 'no timer is left');
      },
    ),
    { numRuns: 150 },
  );
});

test('whatever happens between polls, each subscriber gets one COMPLETED event for each task that ends and matches its filter', async () => {
  const filters: TaskFilter[] = [
    {},
    { completionStatusIsNull: true },
    { completionStatuses: ['SUCCESS'] },
    { completionStatuses: ['ERROR'] },
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(...['1', '2', '3', '4', '5', '6'].map(anyHistory)),
      anyLuck,
      async (histories, outcomes) => {
        const clock = new HandClock();
        const hub = createHub({
          openAggregations: openNoAggregations,
          source: createUpstream(clock, histories, outcomes),
          openGroup: createLocalGroup,
          clock,
          log: createLog('silent'),
          intervalMs: INTERVAL_MS,
          maxSubscribers: 100,
        });
        const received: string[][] = filters.map(() => []);
        const streams = filters.map(filter => hub.subscribeToChanges(filter, false));
        const readers = streams.map(async (stream, place) => {
          for await (const change of stream) {
            assert.ok(
              !(change instanceof GatewayError),
              change instanceof GatewayError ? change.message : '',
            );
            received[place]!.push(textOf(change));
          }
        });
        await setImmediate();
        // Tasks that ended before the first subscription are not published.
        const over = new Set(
          histories
            .filter(
              ({ states, id }) => states.length === 1 && Number(id) * 700 <= clock.monotonic(),
            )
            .map(({ id }) => id),
        );
        for (let tick = 0; tick < 400; tick++) {
          clock.advance(250);
          await setImmediate();
        }
        await Promise.all(streams.map(stream => stream.return()));
        await Promise.all(readers);

        const ends = (place: number) =>
          received[place]!.filter(event => event.startsWith('COMPLETED')).toSorted();
        const expected = histories
          .filter(({ id }) => !over.has(id))
          .map(({ id }) => `COMPLETED ${id}`)
          .toSorted();
        for (const place of [0, 1, 2])
          assert.deepEqual(ends(place), expected, JSON.stringify(filters[place]));
        assert.deepEqual(received[3], [], 'none has failed');
        assert.equal(hub.size, 0);
      },
    ),
    { numRuns: 150 },
  );
});

test('a subscriber whose first read failed, but which a poll for others sent a state, still gets the end', async () => {
  const clock = new HandClock();
  const [history] = fc.sample(anyHistory('1'), { numRuns: 1, seed: 1 });
  assert.ok(history);
  const [first, second] = history.states;
  assert.ok(first && second);
  const states = [first, { ...second, from: 5_000 }, { ...history.states.at(-1)!, from: 60_000 }];
  const upstream = createUpstream(clock, [{ id: '1', states }], ['well']);
  let fail: (error: Error) => void = () => {};
  const hub = createHub({
    openAggregations: openNoAggregations,
    source: {
      ...upstream,
      load: () => new Promise((_, reject) => (fail = reject)),
    },
    openGroup: createLocalGroup,
    clock,
    log: createLog('silent'),
    intervalMs: INTERVAL_MS,
    maxSubscribers: 100,
  });
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 250) {
      clock.advance(250);
      await setImmediate();
    }
  };
  const list = hub.subscribeToChanges({}, false);
  await pass(2_000);
  const stream = hub.subscribeToTask('1');
  await pass(8_000);
  fail(new GatewayError('UPSTREAM_UNAVAILABLE', 'too late'));
  await pass(250);
  await list.return();
  const received: (Task | GatewayError)[] = [];
  const reading = (async () => {
    for await (const event of stream) received.push(event);
  })();
  await pass(120_000);
  await reading;
  const last = received.at(-1);
  assert.ok(last && !(last instanceof GatewayError) && isCompleted(last));
  assert.equal(hub.size, 0);
});

/** The kind of an event, and the id of its task if it has one. */
function textOf({ kind, task }: ListEvent): string {
  return task === null ? kind : `${kind} ${task.id}`;
}

/**
 * A hub over two tasks, 1 running and then ended at 3,500 ms, 4 from 2,800 ms on, whose lists can
 * be held up.
 */
function startLists() {
  const clock = new HandClock();
  const [running, added] = [lastingHistory('1'), lastingHistory('4')];
  const [ended] = fc.sample(anyHistory('1'), { numRuns: 1, seed: 1 });
  const end = ended?.states.at(-1);
  assert.ok(end);
  const upstream = createUpstream(
    clock,
    [{ id: '1', states: [...running.states, { ...end, from: 3_500 }] }, added],
    ['well'],
  );
  let held: Promise<void> | null = null;
  const hub = createHub({
    openAggregations: openNoAggregations,
    source: {
      ...upstream,
      async *snapshot(filter, signal) {
        for await (const rows of upstream.snapshot(filter, signal)) {
          const wait = held;
          held = null;
          await wait;
          yield rows;
        }
      },
    },
    openGroup: createLocalGroup,
    clock,
    log: createLog('silent'),
    intervalMs: INTERVAL_MS,
    maxSubscribers: 100,
  });
  return {
    hub,
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += 100) {
        clock.advance(100);
        await setImmediate();
      }
    },
    /**
     * The next snapshot is answered with what is there now, once the function that it returns is
     * called.
     */
    holdNextSnapshot() {
      let release = () => {};
      held = new Promise(resolve => (release = resolve));
      return () => release();
    },
    follow(snapshot: boolean) {
      const received: string[] = [];
      const stream = hub.subscribeToChanges({}, snapshot);
      void (async () => {
        for await (const change of stream) {
          assert.ok(!(change instanceof GatewayError));
          received.push(textOf(change));
        }
      })();
      return { received, leave: () => stream.return() };
    },
  };
}

test('a task that a snapshot has sent is not sent again as ADDED', async () => {
  const { pass, follow } = startLists();
  const first = follow(false);
  // Between two polls: the first subscriber gets it at the next poll, after the snapshot.
  await pass(2_900);
  assert.deepEqual(first.received, ['ADDED 1']);
  const second = follow(true);
  await pass(1_000);
  assert.deepEqual(first.received, ['ADDED 1', 'ADDED 4']);
  assert.deepEqual(second.received.slice(0, 2).toSorted(), ['SNAPSHOT 1', 'SNAPSHOT 4']);
  assert.deepEqual(second.received.slice(2), ['SNAPSHOT_COMPLETE']);
  await Promise.all([first.leave(), second.leave()]);
});

test('a late snapshot does not overwrite events sent since it was requested', async () => {
  const { pass, follow, holdNextSnapshot } = startLists();
  const first = follow(false);
  await pass(3_200);
  const release = holdNextSnapshot();
  const second = follow(true);
  await pass(1_500);
  assert.deepEqual(second.received, ['COMPLETED 1']);
  release();
  await pass(100);
  assert.deepEqual(second.received, ['COMPLETED 1', 'SNAPSHOT 4', 'SNAPSHOT_COMPLETE']);
  await Promise.all([first.leave(), second.leave()]);
});

test('before the end of its snapshot a subscriber gets every task that was there, after it no SNAPSHOT', async () => {
  const ids = ['1', '2', '3', '4', '5'];
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(...ids.map(anyHistory)),
      fc.array(fc.integer({ min: 0, max: 6_000 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 0, max: 900 }),
      async (histories, starts, latencyMs) => {
        const clock = new HandClock();
        const upstream = createUpstream(clock, histories, ['well'], latencyMs);
        const hub = createHub({
          openAggregations: openNoAggregations,
          source: upstream,
          openGroup: createLocalGroup,
          clock,
          log: createLog('silent'),
          intervalMs: INTERVAL_MS,
          maxSubscribers: 100,
        });
        const subscribers: { there: string[]; events: string[]; stream: Mailbox<ListEvent> }[] = [];
        for (const _ of Array.from({ length: 120 })) {
          for (const __ of starts.filter(
            at => at <= clock.monotonic() && at > clock.monotonic() - 100,
          )) {
            const there = histories
              .filter(({ id }) => Number(id) * 700 <= clock.monotonic())
              .map(({ id }) => id);
            const subscriber = {
              there,
              events: [] as string[],
              stream: hub.subscribeToChanges({}, true),
            };
            subscribers.push(subscriber);
            void (async () => {
              for await (const event of subscriber.stream) {
                assert.ok(!(event instanceof GatewayError));
                subscriber.events.push(textOf(event));
              }
            })();
          }
          clock.advance(100);
          await setImmediate();
        }
        for (const { there, events, stream } of subscribers) {
          const end = events.indexOf('SNAPSHOT_COMPLETE');
          assert.notEqual(end, -1);
          const before = events.slice(0, end);
          const missing = there.filter(id => !before.some(event => event.endsWith(` ${id}`)));
          assert.deepEqual(missing, [], events.join(', '));
          assert.ok(!events.slice(end + 1).some(event => event.startsWith('SNAPSHOT')));
          await stream.return();
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('a snapshot of too many tasks ends with an error, never with SNAPSHOT_COMPLETE', async () => {
  const all: Task[] = [];
  const { hub, clock, put, pass } = startHub(all, {
    async *snapshot() {
      for (let page = 0; page <= 20; page++)
        yield all.map(task => Object.assign({}, task, { id: `${page} ${task.id}` }));
    },
  });
  for (let place = 0; place < 250; place++) put(String(place), clock.now());
  const events = record(hub.subscribeToChanges({}, true), ({ kind }) => kind);
  await pass(1_000);
  assert.equal(events.at(-1), 'BAD_USER_INPUT');
  assert.ok(!events.includes('SNAPSHOT_COMPLETE'));
  assert.ok(events.length > 5_000);
  hub.close();
});

/** A hub whose tasks and lists a test makes up. */
function startHub(all: Task[], overrides: Partial<TaskSource> = {}) {
  const clock = new HandClock();
  const readHead = async () => ({
    rows: all.toSorted((a, b) => b.created - a.created),
    asOf: clock.now(),
  });
  const source: TaskSource = {
    load: async id => all.find(task => task.id === id) ?? null,
    poll: async ids =>
      new Map(all.filter(({ id }) => ids.includes(id)).map(task => [task.id, task])),
    confirm: async () => null,
    running: async () => all.filter(task => !isCompleted(task)),
    readHead,
    pollHeads: requests => requests.map(readHead),
    async *snapshot() {
      yield all;
    },
    pressure: () => 0,
    ...overrides,
  };
  const hub = createHub({
    openAggregations: openNoAggregations,
    source,
    openGroup: createLocalGroup,
    clock,
    log: createLog('silent'),
    intervalMs: INTERVAL_MS,
    maxSubscribers: 1_000,
  });
  return {
    hub,
    clock,
    /** Changes the task, or adds it. */
    put(id: string, created: number, fields: object = {}) {
      const row = readRow({
        id,
        type: 'QUARTZ',
        uniqueName: 'n',
        created,
        launched: created,
        percentComplete: 0,
        ...fields,
      });
      const task = { ...(row as Task), etag: JSON.stringify([id, fields]) };
      all.splice(0, all.length, ...all.filter(other => other.id !== id), task);
    },
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += 250) {
        clock.advance(250);
        for (let turn = 0; turn < 4; turn++) await setImmediate();
      }
    },
  };
}

/** Records the events of a stream as text. */
function record<T>(
  stream: AsyncIterable<T | GatewayError>,
  toText: (event: T) => string,
): string[] {
  const events: string[] = [];
  void (async () => {
    for await (const event of stream)
      events.push(event instanceof GatewayError ? event.code : toText(event));
  })();
  return events;
}

test('a task with a creation date in the future hides no later task', async () => {
  const all: Task[] = [];
  const { hub, clock, put, pass } = startHub(all);
  put('old', clock.now() - 1_000);
  const events = record(hub.subscribeToChanges({}, false), textOf);
  await pass(3_000);
  put('ahead', clock.now() + 3_600_000);
  await pass(20_000);
  for (const id of ['a', 'b', 'c']) {
    put(id, clock.now());
    await pass(90_000);
  }
  assert.deepEqual(events, ['ADDED ahead', 'ADDED a', 'ADDED b', 'ADDED c']);
  hub.close();
});

test('a range in the past does not complete before its snapshot has been sent', async () => {
  const all: Task[] = [];
  let release = () => {};
  const held = new Promise<void>(resolve => (release = resolve));
  const { hub, clock, put, pass } = startHub(all, {
    async *snapshot() {
      await held;
      yield all.filter(({ id }) => id === 'old');
    },
  });
  put('old', clock.now() - 3_600_000, { completed: clock.now(), completionStatus: 'SUCCESS' });
  const range = { created: { lt: clock.now() - 1_800_000 } };
  const events = record(hub.subscribeToChanges(range, true), textOf);
  await pass(60_000);
  assert.deepEqual(events, []);
  assert.equal(hub.size, 1);
  release();
  await pass(20_000);
  assert.deepEqual(events, ['SNAPSHOT old', 'SNAPSHOT_COMPLETE']);
  assert.equal(hub.size, 0);
});

test('a task outside of the range is never sent, even if it starts and ends between two polls', async () => {
  const all: Task[] = [];
  const { hub, clock, put, pass } = startHub(all);
  const created = { gte: clock.now() + 3_600_000 };
  const events = record(
    hub.subscribeToChanges({ created, completionStatusIsNull: true }, false),
    textOf,
  );
  const others = record(hub.subscribeToChanges({ completionStatusIsNull: true }, false), textOf);
  await pass(3_000);
  put('brief', clock.now(), { completed: clock.now(), completionStatus: 'SUCCESS' });
  await pass(20_000);
  assert.deepEqual(others, ['COMPLETED brief']);
  put('within', clock.now() + 3_600_000);
  await pass(20_000);
  assert.deepEqual(events, ['ADDED within']);
  hub.close();
});

test('a list whose read hangs delays neither tasks nor other lists', async () => {
  const all: Task[] = [];
  const { hub, clock, put, pass } = startHub(all, {
    pollHeads: requests =>
      requests.map(({ filter }) =>
        filter.sourceIds?.[0] === 'hangs'
          ? new Promise(() => {})
          : Promise.resolve({ rows: [...all], asOf: clock.now() }),
      ),
  });
  put('x', clock.now());
  const steps = record(hub.subscribeToTask('x'), ({ attributes }) => String(attributes['step']));
  record(hub.subscribeToChanges({ sourceIds: ['hangs'] }, false), () => '');
  const added = record(
    hub.subscribeToChanges({ sourceIds: ['well'] }, false),
    ({ task }) => task?.id ?? '',
  );
  await pass(3_000);
  for (let step = 1; step <= 20; step++) {
    put('x', clock.now(), { attributes: { step } });
    await pass(2 * INTERVAL_MS);
    assert.equal(steps.at(-1), String(step));
  }
  put('y', clock.now());
  await pass(5 * INTERVAL_MS);
  assert.ok(added.includes('y'));
  hub.close();
});

test('a task that becomes unreadable is an error for all its subscribers, and its list continues', async () => {
  const all: Task[] = [];
  let isReadable = true;
  const { hub, clock, put, pass } = startHub(all, {
    poll: async ids =>
      new Map(
        all
          .filter(({ id }) => ids.includes(id))
          .map(task => [
            task.id,
            isReadable || task.id !== 'x'
              ? task
              : new GatewayError('UPSTREAM_INVALID_RESPONSE', 'odd'),
          ]),
      ),
  });
  put('x', clock.now());
  put('y', clock.now());
  const task = record(hub.subscribeToTask('x'), () => 'event');
  const list = record(hub.subscribeToChanges({}, false), textOf);
  await pass(3_000);
  isReadable = false;
  await pass(120_000);
  assert.deepEqual(task, ['event', 'UPSTREAM_INVALID_RESPONSE']);
  assert.deepEqual(list, ['UPSTREAM_INVALID_RESPONSE'], 'once');
  put('y', clock.now(), { completed: clock.now(), completionStatus: 'SUCCESS' });
  isReadable = true;
  put('x', clock.now(), { completed: clock.now(), completionStatus: 'SUCCESS' });
  await pass(10_000);
  assert.deepEqual(list.slice(1).toSorted(), ['COMPLETED x', 'COMPLETED y']);
  hub.close();
});
