import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { GatewayError } from '../../src/errors.ts';
import { createLocalGroup } from '../../src/fleet/local.ts';
import { createLog } from '../../src/log.ts';
import { createHub } from '../../src/progress/hub.ts';
import type { TaskSource } from '../../src/progress/source.ts';
import type { TaskFilter } from '../../src/task/filter.ts';
import { type Task, isCompleted } from '../../src/task/task.ts';
import { readRow } from '../../src/upstream/wire.ts';
import { HandClock } from '../support/hand-clock.ts';

const INTERVAL_MS = 1_000;

/** What a task was from when on. The last state is its end. */
interface History {
  id: string;
  states: { from: number; task: Task }[];
}

/** What a look may come to, one after another and over again. */
type Luck = 'well' | 'omits' | 'fails' | 'malformed';

const anyHistory = (id: string): fc.Arbitrary<History> =>
  fc.array(fc.integer({ min: 1, max: 4_000 }), { minLength: 1, maxLength: 12 }).map(gaps => {
    let from = 0;
    const states = gaps.map((gap, place) => {
      const state = { from, task: stateOf(id, place, place === gaps.length - 1) };
      from += gap;
      return state;
    });
    return { id, states };
  });

function stateOf(id: string, step: number, isEnd: boolean): Task {
  return readRow({
    id,
    type: 'QUARTZ',
    uniqueName: 'n',
    created: Number(id) * 700,
    launched: 1,
    completed: isEnd ? 2 : null,
    completionStatus: isEnd ? 'SUCCESS' : null,
    percentComplete: Math.min(99, step),
    attributes: { step },
  }) as Task;
}

/** Upstream, as the histories have it; unlucky as told. It is never unlucky for whoever waits for a first state. */
function createUpstream(
  clock: HandClock,
  histories: readonly History[],
  luck: readonly Luck[],
): TaskSource {
  let looks = 0;
  const nowOf = ({ states }: History) =>
    states.findLast(({ from }) => from <= clock.monotonic())?.task ?? null;
  const find = (id: string) => histories.find(history => history.id === id);
  const read = (id: string) => {
    const history = find(id);
    return history ? nowOf(history) : null;
  };
  const there = () =>
    histories
      .map(nowOf)
      .filter(task => task !== null && task.created <= clock.monotonic()) as Task[];
  return {
    load: async id => read(id),
    async read(ids) {
      const outcome = luck[looks++ % luck.length] ?? 'well';
      if (outcome === 'fails') throw new GatewayError('UPSTREAM_UNAVAILABLE', 'out of luck');
      const rows = new Map<string, Task | GatewayError>();
      for (const [place, id] of ids.entries()) {
        const task = read(id);
        if (task === null || (outcome === 'omits' && place % 2 === 0)) continue;
        rows.set(
          id,
          outcome === 'malformed' && place % 2 === 0
            ? new GatewayError('UPSTREAM_INVALID_RESPONSE', 'x')
            : task,
        );
      }
      return rows;
    },
    confirm: async id => read(id),
    running: async () => there().filter(task => !isCompleted(task)),
    unlisted: async () => [],
    newest: async () => ({
      tasks: there().toSorted((a, b) => b.created - a.created),
      isLast: true,
    }),
    pressure: () => 0,
  };
}

const luck = fc
  .array(fc.constantFrom<Luck[]>('well', 'well', 'omits', 'fails', 'malformed'), {
    minLength: 1,
    maxLength: 5,
  })
  .filter(list => list.includes('well'));

test('what each subscriber saw is a subsequence of the history that ends with its end', async () => {
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
      luck,
      async (histories, subscribers, outcomes) => {
        const clock = new HandClock();
        const hub = createHub({
          source: createUpstream(clock, histories, outcomes),
          openGroup: createLocalGroup,
          clock,
          log: createLog('silent'),
          intervalMs: INTERVAL_MS,
          maxFollowers: 100,
        });
        const seen: number[][] = subscribers.map(() => []);
        const ended = subscribers.map(() => false);
        const streams = subscribers.map(() => null as ReturnType<typeof hub.followTask> | null);
        const reading = new Set<number>();

        for (let tick = 0; tick < 1_000 && ended.includes(false); tick++) {
          for (const [place, { task, joinsAt, readsEvery }] of subscribers.entries()) {
            if (streams[place] === null && clock.monotonic() >= joinsAt)
              streams[place] = hub.followTask(histories[task]!.id);
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

test('whatever happens between looks, each task that ends is told to have, once, to whom it concerns', async () => {
  const filters: TaskFilter[] = [
    {},
    { completionStatusIsNull: true },
    { completionStatuses: ['SUCCESS'] },
    { completionStatuses: ['ERROR'] },
  ];
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(...['1', '2', '3', '4', '5', '6'].map(anyHistory)),
      luck,
      async (histories, outcomes) => {
        const clock = new HandClock();
        const hub = createHub({
          source: createUpstream(clock, histories, outcomes),
          openGroup: createLocalGroup,
          clock,
          log: createLog('silent'),
          intervalMs: INTERVAL_MS,
          maxFollowers: 100,
        });
        const told: string[][] = filters.map(() => []);
        const streams = filters.map(filter => hub.followChanges(filter, false));
        const readers = streams.map(async (stream, place) => {
          for await (const change of stream) {
            assert.ok(
              !(change instanceof GatewayError),
              change instanceof GatewayError ? change.message : '',
            );
            told[place]!.push(`${change.kind} ${change.task.id}`);
          }
        });
        await setImmediate();
        // Those that were over before anybody followed are nobody's news.
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
          told[place]!.filter(event => event.startsWith('COMPLETED')).toSorted();
        const expected = histories
          .filter(({ id }) => !over.has(id))
          .map(({ id }) => `COMPLETED ${id}`)
          .toSorted();
        for (const place of [0, 1, 2])
          assert.deepEqual(ends(place), expected, JSON.stringify(filters[place]));
        assert.deepEqual(told[3], [], 'none has failed');
        assert.equal(hub.size, 0);
      },
    ),
    { numRuns: 150 },
  );
});
