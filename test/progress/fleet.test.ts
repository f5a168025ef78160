import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { GatewayError } from '../../src/errors.ts';
import { createLog } from '../../src/log.ts';
import { createHub } from '../../src/progress/hub.ts';
import type { GroupMessage } from '../../src/progress/group-message.ts';
import type { Task } from '../../src/task/task.ts';
import { HandClock } from '../support/hand-clock.ts';
import { anyHistory, anyLuck, createUpstream, lastingHistory } from '../support/histories.ts';
import { SimulatedFleet } from '../support/simulated-fleet.ts';
import { openNoAggregations } from '../support/no-aggregations.ts';

const INTERVAL_MS = 1_000;
const STEP_MS = 50;
const LASTING = lastingHistory('9');
const INSTANCES = 3;
// The first instance always survives, so that subscribers can move to it.
const anyBlow = fc.record({
  at: fc.integer({ min: 500, max: 20_000 }),
  to: fc.integer({ min: 1, max: INSTANCES - 1 }),
  kind: fc.constantFrom('kill', 'cut', 'cut', 'cut'),
  // Some histories end before another instance takes over, some do not.
  healsAfter: fc.oneof(fc.integer({ min: 50, max: 900 }), fc.integer({ min: 900, max: 6_000 })),
});
const anySubscriber = fc.record({
  task: fc.integer({ min: 0, max: 2 }),
  joinsAt: fc.oneof(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 15_000 })),
  at: fc.integer({ min: 0, max: INSTANCES - 1 }),
});

/** The states of a task that one stream sent, up to its end. */
interface Received {
  instance: number;
  steps: number[];
  isEnded: boolean;
}

test("whichever instances are killed or cut off, every subscriber gets its task's end and never an older state", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(anyHistory('1'), anyHistory('2'), anyHistory('3')),
      fc.array(anySubscriber, { minLength: 1, maxLength: 9 }),
      fc.array(anyBlow, { maxLength: 10 }),
      fc.integer({ min: 0, max: 400 }),
      anyLuck,
      async (histories, subscribers, blows, latencyMs, outcomes) => {
        const clock = new HandClock();
        const fleet = new SimulatedFleet<GroupMessage>(clock);
        const members = Array.from({ length: INSTANCES }, () => fleet.open());
        const hubs = members.map(({ openGroup }, place) =>
          createHub({
            openAggregations: openNoAggregations,
            // Some instances are slower, so their messages about a poll arrive late.
            source: createUpstream(
              clock,
              [...histories, LASTING],
              outcomes,
              latencyMs * (1 + 3 * place),
            ),
            openGroup,
            clock,
            log: createLog('silent'),
            intervalMs: INTERVAL_MS,
            maxSubscribers: 100,
          }),
        );
        // One watch lasts to the end, so no instance starts polling only because it is the last.
        const lasting = hubs[0]!.subscribeToTask(LASTING.id);
        const isDead = members.map(() => false);
        const faults: unknown[] = [];

        const follow = (task: number, instance: number): Received => {
          const received: Received = { instance, steps: [], isEnded: false };
          void (async () => {
            for await (const event of hubs[instance]!.subscribeToTask(histories[task]!.id)) {
              if (event instanceof GatewayError) faults.push(event);
              else received.steps.push(stepOf(event));
            }
            received.isEnded = true;
          })();
          return received;
        };
        for (const { at, to, kind, healsAfter } of blows)
          clock.after(at, () => {
            if (isDead[to]) return;
            if (kind === 'cut') {
              members[to]!.cut();
              clock.after(healsAfter, () => members[to]!.heal());
              return;
            }
            members[to]!.kill();
            isDead[to] = true;
          });

        const streams = subscribers.map(() => [] as Received[]);
        for (let tick = 0; tick < 2_400; tick++) {
          let isOver = true;
          for (const [place, { task, joinsAt, at }] of subscribers.entries()) {
            const current = streams[place]!.at(-1);
            if (current?.isEnded) continue;
            isOver = false;
            // A subscriber whose gateway was killed reconnects to another.
            if (current === undefined ? clock.monotonic() >= joinsAt : isDead[current.instance])
              streams[place]!.push(follow(task, isDead[at] ? 0 : at));
          }
          if (isOver) break;
          clock.advance(STEP_MS);
          await setImmediate();
        }

        await lasting.return();
        assert.deepEqual(faults, []);
        for (const [place, all] of streams.entries()) {
          const { states } = histories[subscribers[place]!.task]!;
          const last = all.at(-1);
          assert.ok(last?.isEnded, 'the stream has ended');
          assert.equal(last.steps.at(-1), states.length - 1, 'with the end of the task');
          for (const { steps } of all)
            assert.deepEqual(
              steps,
              [...new Set(steps)].toSorted((a, b) => a - b),
              'never backwards, nothing twice',
            );
        }
      },
    ),
    { numRuns: 600 },
  );
});

test('whichever instances are cut off, each list subscriber gets one COMPLETED event for each task', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.tuple(...['1', '2', '3', '4', '5', '6'].map(anyHistory)),
      fc.array(anyBlow, { maxLength: 10 }),
      fc.integer({ min: 0, max: 400 }),
      anyLuck,
      async (histories, blows, latencyMs, outcomes) => {
        const clock = new HandClock();
        const fleet = new SimulatedFleet<GroupMessage>(clock);
        const members = Array.from({ length: INSTANCES }, () => fleet.open());
        const hubs = members.map(({ openGroup }) =>
          createHub({
            openAggregations: openNoAggregations,
            source: createUpstream(clock, histories, outcomes, latencyMs),
            openGroup,
            clock,
            log: createLog('silent'),
            intervalMs: INTERVAL_MS,
            maxSubscribers: 100,
          }),
        );
        for (const { at, to, healsAfter } of blows)
          clock.after(at, () => {
            members[to]!.cut();
            clock.after(healsAfter, () => members[to]!.heal());
          });
        const received = hubs.map(() => [] as string[]);
        const streams = hubs.map(hub => hub.subscribeToChanges({}, false));
        const readers = streams.map(async (stream, place) => {
          for await (const change of stream) {
            if (change instanceof GatewayError) throw change;
            if (change.kind === 'COMPLETED') received[place]!.push(change.task.id);
          }
        });
        const over = new Set(
          histories
            .filter(({ states, id }) => states.length === 1 && Number(id) * 700 <= latencyMs)
            .map(({ id }) => id),
        );
        for (let tick = 0; tick < 2_000; tick++) {
          clock.advance(STEP_MS);
          await setImmediate();
        }
        await Promise.all(streams.map(stream => stream.return()));
        await Promise.all(readers);

        const expected = histories.map(({ id }) => id).filter(id => !over.has(id));
        for (const ended of received) assert.deepEqual(ended.toSorted(), expected);
      },
    ),
    { numRuns: 200 },
  );
});

function stepOf({ attributes }: Task): number {
  return Number(attributes['step']);
}
