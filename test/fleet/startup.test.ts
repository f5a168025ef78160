import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Redis } from 'ioredis';
import { WITHOUT_OWN_REDIS, startRedis } from '../support/redis.ts';
import { postGraphQL, startGateway, startSandbox } from '../support/start.ts';
import { until } from '../support/until.ts';

const RATE = { limit: 50, windowMs: 1_000 };

test(
  'gateways that start while Redis is down serve requests within the budget, and share it once Redis is up',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    await redis.kill();
    const sandbox = await startSandbox(t, { rateLimit: RATE.limit, rateWindowMs: RATE.windowMs });
    const { journal, tenant } = sandbox;
    const env = {
      REDIS_URL: redis.url,
      UPSTREAM_RATE_LIMIT: String(RATE.limit),
      UPSTREAM_RATE_WINDOW_MS: String(RATE.windowMs),
    };
    const gateways = await Promise.all(
      [1, 2, 3].map(() => startGateway(t, { env, over: sandbox })),
    );
    tenant.addTasks(50, { queueMs: 0, runMs: 86_400_000 });
    let answered = 0;
    let isOver = false;
    const callers = gateways.flatMap(({ url }) =>
      Array.from({ length: 40 }, async (_, caller) => {
        // Each reads another page; otherwise one request would serve all.
        const query = `{ taskStatuses(first: ${caller + 1}) { nodes { id } } }`;
        while (!isOver) {
          const { data } = await postGraphQL(url, query);
          assert.equal(data.taskStatuses.nodes.length, caller + 1);
          answered++;
        }
      }),
    );
    await until(() => answered > 0 && journal.requests.length >= 30);
    // The instances do not know each other, so each uses a tenth.
    const standalone = journal.worstWindow(RATE.windowMs);
    assert.ok(standalone <= (3 * RATE.limit) / 10, `${standalone} in a window`);

    await redis.start();
    const admin = new Redis(redis.url);
    t.after(() => admin.disconnect());
    for (let joined = 0; joined < 3;) {
      const [key = ''] = await admin.keys('{task-status-gateway:*:instances');
      joined = await admin.zcard(key);
    }
    const before = journal.requests.length;
    await until(() => journal.requests.length >= before + 120);
    isOver = true;
    await Promise.all(callers);
    const worst = journal.worstWindow(RATE.windowMs);
    assert.ok(worst > standalone && worst <= RATE.limit, `${worst} in a window`);
    assert.ok(journal.requests.every(({ status }) => status === 200));
  },
);
