import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WITHOUT_REDIS, startRedis } from '../support/redis.ts';
import { postGraphQL, startGateway } from '../support/start.ts';

const BY_ID = 'query ($id: ID!) { taskStatus(id: $id) { id } }';
const RATE = { limit: 50, windowMs: 1_000 };

test(
  'three instances over one Redis spend one budget, and upstream never sees a 429',
  { skip: WITHOUT_REDIS },
  async t => {
    const { url: redisUrl } = await startRedis(t);
    const env = {
      REDIS_URL: redisUrl,
      UPSTREAM_RATE_LIMIT: String(RATE.limit),
      UPSTREAM_RATE_WINDOW_MS: String(RATE.windowMs),
    };
    const first = await startGateway(t, {
      env,
      sandbox: { rateLimit: RATE.limit, rateWindowMs: RATE.windowMs },
    });
    const { sandbox, tenant } = first;
    const others = await Promise.all([1, 2].map(() => startGateway(t, { env, over: sandbox })));
    const urls = [first, ...others].map(({ url }) => url);
    const ids = tenant.addTasks(600, { queueMs: 0, runMs: 0, statusLagMs: 0 });

    const queue = Array.from({ length: 3_000 }, (_, place) => place);
    const caller = async () => {
      for (let place = queue.pop(); place !== undefined; place = queue.pop()) {
        const id = ids[place % ids.length];
        const { data } = await postGraphQL(urls[place % urls.length]!, BY_ID, { id });
        assert.equal(data.taskStatus.id, id);
      }
    };
    await Promise.all(Array.from({ length: 150 }, caller));

    assert.ok(
      sandbox.journal.worstWindow(RATE.windowMs) <= RATE.limit,
      `${sandbox.journal.worstWindow(RATE.windowMs)} in a window`,
    );
    assert.ok(sandbox.journal.requests.every(({ status }) => status === 200));
  },
);
