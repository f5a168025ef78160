import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createLog } from '../../src/log.ts';
import { createHub } from '../../src/progress/hub.ts';
import type { GroupMessage } from '../../src/progress/group-message.ts';
import type { TaskSource } from '../../src/progress/source.ts';
import { HandClock } from '../support/hand-clock.ts';
import { createUpstream, type History, lastingHistory } from '../support/histories.ts';
import { SimulatedFleet } from '../support/simulated-fleet.ts';
import { openNoAggregations } from '../support/no-aggregations.ts';

const INTERVAL_MS = 1_000;
const IDS = Array.from({ length: 30 }, (_, place) => String(place + 1));

/** Instances over one upstream, and the ids of tasks that they published. */
function start(histories: readonly History[]) {
  const clock = new HandClock();
  const fleet = new SimulatedFleet<GroupMessage>(clock);
  const upstream = createUpstream(clock, histories, ['well']);
  const published: string[] = [];
  return {
    published,
    clock,
    open(source: TaskSource = upstream) {
      const member = fleet.open();
      const hub = createHub({
        openAggregations: openNoAggregations,
        source,
        clock,
        log: createLog('silent'),
        intervalMs: INTERVAL_MS,
        maxSubscribers: 1_000,
        openGroup: listener => {
          const group = member.openGroup(listener);
          const publish = (message: GroupMessage) => {
            if (message.kind === 'polled') published.push(...message.tasks.map(({ id }) => id));
            group.publish(message);
          };
          return { ...group, publish };
        },
      });
      return { ...member, hub };
    },
    async pass(ms: number) {
      for (let passed = 0; passed < ms; passed += 50) {
        clock.advance(50);
        await setImmediate();
      }
    },
  };
}

test('a state that every subscriber has is not published again, even after a new subscription, a lease change or a reconnect', async () => {
  const { open, pass, published } = start(IDS.map(lastingHistory));
  const [first, second] = [open(), open()];
  for (const { hub } of [first, second]) for (const id of IDS) hub.subscribeToTask(id);
  await pass(20 * INTERVAL_MS);
  assert.deepEqual(published, []);

  second.cut();
  await pass(5 * INTERVAL_MS);
  second.heal();
  await pass(20 * INTERVAL_MS);
  assert.deepEqual(published, []);

  first.kill();
  await pass(20 * INTERVAL_MS);
  assert.deepEqual(published, []);
  second.hub.close();
});

test('a subscriber whose first state is outdated gets the last published state, and nothing else is published', async () => {
  const histories = IDS.map(lastingHistory);
  const [changing] = histories;
  assert.ok(changing);
  const [before] = changing.states;
  assert.ok(before);
  changing.states.push({
    from: 3_000,
    task: { ...before.task, percentComplete: 50, etag: 'changed' },
  });
  const { open, pass, published, clock } = start(histories);
  const first = open();
  for (const id of IDS) first.hub.subscribeToTask(id);
  await pass(20 * INTERVAL_MS);
  assert.deepEqual(published, [changing.id]);

  const upstream = createUpstream(clock, histories, ['well']);
  const second = open({
    ...upstream,
    // From a memory that is a moment old.
    load: async id => (id === changing.id ? before.task : upstream.load(id)),
  });
  const mailbox = second.hub.subscribeToTask(changing.id);
  for (const id of IDS.slice(1)) second.hub.subscribeToTask(id);
  await pass(5 * INTERVAL_MS);
  assert.deepEqual(published, [changing.id, changing.id]);
  const { value } = await mailbox.next();
  assert.equal(value.percentComplete, 50);
  for (const { hub } of [first, second]) hub.close();
});
