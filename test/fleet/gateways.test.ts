import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { createClient } from 'graphql-ws';
import { Redis } from 'ioredis';
import { WebSocket } from 'ws';
import { Random } from '../../src/sandbox/random.ts';
import { startGatewayProcess } from '../support/gateway-process.ts';
import { WITHOUT_OWN_REDIS, WITHOUT_REDIS, redisUrlFor, startRedis } from '../support/redis.ts';
import { postGraphQL, startGateway, startSandbox } from '../support/start.ts';
import { until } from '../support/until.ts';

const BY_ID = 'query ($id: ID!) { taskStatus(id: $id) { id } }';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const INTERVAL_MS = 200;
const RATE = { limit: 50, windowMs: 1_000 };
const LIMITED_ENV = {
  UPSTREAM_RATE_LIMIT: String(RATE.limit),
  UPSTREAM_RATE_WINDOW_MS: String(RATE.windowMs),
};
const LIMITED_SANDBOX = { rateLimit: RATE.limit, rateWindowMs: RATE.windowMs };

/**
 * Subscribes over sockets to any running gateway. A subscriber that is disconnected reconnects to
 * another.
 */
function subscribeToAll(
  t: TestContext,
  urls: () => string[],
  ids: readonly string[],
  sockets: number,
) {
  let ended = 0;
  let begun = 0;
  const failed: unknown[] = [];
  for (let socket = 0; socket < sockets; socket++) {
    let place = socket;
    const client = createClient({
      url: () => {
        const there = urls();
        return there[place++ % there.length]!.replace('http', 'ws');
      },
      webSocketImpl: WebSocket,
      lazyCloseTimeout: 0,
      retryAttempts: 20,
      shouldRetry: () => true,
      retryWait: async () => {},
    });
    t.after(() => Promise.resolve(client.dispose()).catch(() => {}));
    for (const id of ids) {
      let state: string | null = null;
      client.subscribe<{ taskProgress: { state: string } }>(
        { query: PROGRESS, variables: { id } },
        {
          next({ data, errors }) {
            if (errors || !data) failed.push(errors);
            if (state === null) begun++;
            state = data?.taskProgress.state ?? '';
          },
          error: error => failed.push(error),
          complete() {
            if (state === 'COMPLETED') ended++;
            else failed.push(`${id} completed while ${state}`);
          },
        },
      );
    }
  }
  return { begun: () => begun, ended: () => ended, failed };
}

test(
  'three instances over one Redis spend one budget, and upstream never sees a 429',
  { skip: WITHOUT_REDIS },
  async t => {
    const redisUrl = await redisUrlFor(t);
    const env = { REDIS_URL: redisUrl, ...LIMITED_ENV };
    const first = await startGateway(t, { env, sandbox: LIMITED_SANDBOX });
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

test(
  'when the polling instance is killed during a poll, and then Redis, every subscriber gets its final event',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const redis = await startRedis(t);
    const sandbox = await startSandbox(t, LIMITED_SANDBOX);
    const { tenant, journal, faults } = sandbox;
    const env = { REDIS_URL: redis.url, PROGRESS_INTERVAL_MS: String(INTERVAL_MS), ...LIMITED_ENV };
    const ids = tenant.addTasks(60, LASTING);
    const [first, ...others] = await Promise.all(
      [1, 2, 3].map(() => startGatewayProcess(t, sandbox, env)),
    );
    assert.ok(first);
    let gateways = [first, ...others];
    const urls = () => gateways.map(({ url }) => url);
    const pollsAfter = async (count: number) => {
      const before = journal.requests.length;
      await until(() => journal.requests.length >= before + count);
    };

    // The first instance gets the lease.
    const early = subscribeToAll(t, () => [first.url], ids.slice(0, 1), 1);
    await until(() => early.begun() === 1);
    await pollsAfter(2);
    const { begun, ended, failed } = subscribeToAll(t, urls, ids, 9);
    await until(() => begun() === 9 * ids.length);

    faults.order({ fault: { kind: 'latency', ms: 150 }, route: 'list' });
    await until(() => journal.requests.some(({ isClosed }) => !isClosed));
    for (const id of ids.slice(0, 20)) tenant.finish(id);
    gateways = others;
    await first.kill();
    faults.clear();
    for (const id of ids.slice(20, 40)) tenant.finish(id);
    await until(() => ended() === 9 * 40);
    await until(() => early.ended() === 1 || early.failed.length === 1);

    await redis.kill();
    for (const id of ids.slice(40, 50)) tenant.finish(id);
    await until(() => ended() === 9 * 50);
    await redis.start();
    for (const id of ids.slice(50)) tenant.finish(id);
    await until(() => ended() === 9 * 60);

    assert.deepEqual(failed, []);
    assert.ok(
      journal.worstWindow(RATE.windowMs) <= RATE.limit,
      `${journal.worstWindow(RATE.windowMs)} in a window`,
    );
    assert.ok(journal.requests.every(({ status }) => status === 200 || status === 0));
  },
);

test(
  'if Redis hangs at any moment, no gateway exits, no final event is lost, and the limit of upstream holds',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    const random = new Random(9);
    const redis = await startRedis(t);
    const sandbox = await startSandbox(t, LIMITED_SANDBOX);
    const { tenant, journal } = sandbox;
    const env = { REDIS_URL: redis.url, PROGRESS_INTERVAL_MS: String(INTERVAL_MS), ...LIMITED_ENV };
    const gateways = await Promise.all([1, 2].map(() => startGatewayProcess(t, sandbox, env)));
    const ids = tenant.addTasks(200, LASTING);
    const subscribers = gateways.map(({ url }) =>
      subscribeToAll(t, () => [url], ids.slice(0, 100), 1),
    );
    await until(() => subscribers.every(({ begun }) => begun() === 100));
    for (let hang = 0; hang < 4; hang++) {
      const before = journal.requests.length;
      const count = random.between(1, 12);
      await until(() => journal.requests.length >= before + count);
      await wait(random.between(0, 300));
      // A new subscription to a task that was just read begins at this moment.
      const [late = ''] = ids.slice(100 + hang);
      const { url } = random.pick(gateways);
      await postGraphQL(url, BY_ID, { id: late });
      redis.freeze();
      subscribers.push(subscribeToAll(t, () => [url], [late], 1));
      for (const id of ids.slice(25 * hang, 25 * (hang + 1))) tenant.finish(id);
      await wait(random.pick([300, 1_000, 2_500]));
      redis.thaw();
    }
    for (const id of ids.slice(100)) tenant.finish(id);
    await until(() => subscribers.reduce((sum, { ended }) => sum + ended(), 0) === 2 * 100 + 4);

    assert.deepEqual(
      subscribers.flatMap(({ failed }) => failed),
      [],
    );
    assert.ok(gateways.every(gateway => !gateway.hasExited()));
    const worst = journal.worstWindow(RATE.windowMs);
    assert.ok(worst <= RATE.limit, `${worst} in a window`);
    assert.ok(journal.requests.every(({ status }) => status === 200));
  },
);

test(
  "a gateway that is suspended and resumed does not exceed upstream's limit",
  { skip: WITHOUT_REDIS },
  async t => {
    const redisUrl = await redisUrlFor(t);
    const sandbox = await startSandbox(t, LIMITED_SANDBOX);
    const env = { REDIS_URL: redisUrl, UPSTREAM_TIMEOUT_MS: '500', ...LIMITED_ENV };
    const gateways = await Promise.all([1, 2].map(() => startGatewayProcess(t, sandbox, env)));
    const ids = sandbox.tenant.addTasks(400, LASTING);
    let isOver = false;
    const callers = gateways.flatMap(({ url }, place) =>
      Array.from({ length: 30 }, async (_, caller) => {
        for (let turn = 0; !isOver; turn++)
          await postGraphQL(url, BY_ID, { id: ids[(turn * 60 + 2 * caller + place) % ids.length] });
      }),
    );
    for (let stop = 0; stop < 4; stop++) {
      const before = sandbox.journal.requests.length;
      await until(() => sandbox.journal.requests.length >= before + 20);
      const { freeze, thaw } = gateways[stop % 2]!;
      freeze();
      // Longer than its slots are kept.
      await wait(1_700);
      thaw();
    }
    isOver = true;
    await Promise.all(callers);
    const worst = sandbox.journal.worstWindow(RATE.windowMs);
    assert.ok(worst <= RATE.limit, `${worst} in a window`);
  },
);

test(
  'a fleet polls once for all its subscribers, and not at all without subscribers',
  { skip: WITHOUT_REDIS },
  async t => {
    const redisUrl = await redisUrlFor(t);
    const env = { REDIS_URL: redisUrl, PROGRESS_INTERVAL_MS: String(INTERVAL_MS) };
    const first = await startGateway(t, { env });
    const { sandbox, tenant, requests } = first;
    const others = await Promise.all([1, 2].map(() => startGateway(t, { env, over: sandbox })));
    const ids = tenant.addTasks(30, LASTING);
    const watchers = [first, ...others].map(({ url }) => subscribeToAll(t, () => [url], ids, 1));
    await until(() => watchers.every(({ begun }) => begun() === ids.length));

    const polls = requests().length;
    const seen = sandbox.journal.requests.length;
    await until(() => requests().length >= polls + 10);
    const times = sandbox.journal.requests.slice(seen).map(({ at }) => at);
    // Three instances that polled separately would send three times as many requests.
    const intervals = (times.at(-1)! - times[0]!) / INTERVAL_MS;
    assert.ok(times.length <= intervals + 2, `${times.length} polls in ${intervals} intervals`);

    for (const id of ids) tenant.finish(id);
    await until(() => watchers.every(({ ended }) => ended() === ids.length));
    const redis = new Redis(redisUrl);
    t.after(() => redis.disconnect());
    // No watched id and no lease is left in Redis.
    while ((await redis.keys('*:group:*')).some(key => /:ids:|:lease:/.test(key)));
  },
);
