import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { WITHOUT_REDIS, redisUrlFor } from '../support/redis.ts';
import { startGateway } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const INTERVAL_MS = 200;
const AGGREGATION = {
  definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
  queueMs: 0,
  steps: 1,
  reportsPercent: false,
  status: 'SUCCESS',
  totals: { created: 20_000, updated: 10_000, deleted: 10_000 },
};
const SELECTING = `subscription ($id: ID!) {
  taskProgress(id: $id) {
    state effectivePercentComplete accountAggregation { status percentComplete }
  }
}`;

/** What SELECTING selects. */
interface Progress {
  state: string;
  effectivePercentComplete: number;
  accountAggregation: { status: string; percentComplete: number };
}

function follow(t: TestContext, url: string, id: string) {
  const state = { tasks: [] as Progress[], isOver: false };
  void (async () => {
    for await (const { data } of subscribe(t, 'ws', url, SELECTING, { id }))
      state.tasks.push(data.taskProgress);
    state.isOver = true;
  })().catch(() => {});
  return state;
}

async function startTwo(t: TestContext) {
  const env = { REDIS_URL: await redisUrlFor(t), PROGRESS_INTERVAL_MS: String(INTERVAL_MS) };
  const first = await startGateway(t, { env });
  const second = await startGateway(t, { env, over: first.sandbox });
  const asked = () => first.requests().filter(path => path.includes('account-aggregations')).length;
  return { first, second, tenant: first.tenant, asked };
}

test(
  'two instances poll an aggregation once for the subscribers of both, and all see it rise to its end',
  { skip: WITHOUT_REDIS },
  async t => {
    const { first, second, tenant, asked } = await startTwo(t);
    const startedAt = performance.now();
    const id = tenant.addTask({ ...AGGREGATION, runMs: 6_000 });
    const streams = [first, second].flatMap(({ url }) => [1, 2, 3].map(() => follow(t, url, id)));
    await until(() => streams.every(({ isOver }) => isOver));
    const intervals = (performance.now() - startedAt) / INTERVAL_MS;
    for (const { tasks } of streams) {
      const percentages = tasks.map(task => task.effectivePercentComplete);
      assert.deepEqual(
        percentages,
        percentages.toSorted((one, other) => one - other),
      );
      assert.ok(new Set(percentages).size > 4, percentages.join());
      const { state, accountAggregation } = tasks.at(-1)!;
      assert.equal(state, 'COMPLETED');
      assert.equal(accountAggregation.status, 'COMPLETED');
    }
    // Both read it before their first event and after the last.
    const most = intervals + 8;
    assert.ok(asked() <= most, `${asked()} requests in ${Math.round(intervals)} intervals`);
  },
);

test(
  'the polls of an aggregation go on when the instance that made them closes',
  { skip: WITHOUT_REDIS },
  async t => {
    const { first, second, tenant } = await startTwo(t);
    const id = tenant.addTask({ ...AGGREGATION, runMs: 8_000 });
    const leaving = follow(t, first.url, id);
    await until(() => leaving.tasks.length === 1);
    const staying = follow(t, second.url, id);
    await until(() => staying.tasks.length === 1);
    await first.gateway.close();
    await until(() => staying.isOver);
    const between = staying.tasks.slice(1, -1).map(task => task.accountAggregation.percentComplete);
    assert.ok(new Set(between).size > 4, between.join());
    const { state, accountAggregation } = staying.tasks.at(-1)!;
    assert.deepEqual(
      [state, accountAggregation],
      ['COMPLETED', { status: 'COMPLETED', percentComplete: 100 }],
    );
  },
);
