import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { scrape, sumOf } from '../support/exposition.ts';
import { HandClock } from '../support/hand-clock.ts';
import { fetchToken, postGraphQL, startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const BY_ID = 'query ($id: ID!) { taskStatus(id: $id) { id } }';
const LIST = 'query ($first: Int) { taskStatuses(first: $first) { nodes { id } } }';

/**
 * A tenth of the real limit in a tenth of the real window: the same rate, so that tests are faster.
 */
const RATE = { limit: 50, windowMs: 1_000 };
const LIMITED = {
  sandbox: { rateLimit: RATE.limit, rateWindowMs: RATE.windowMs },
  env: { UPSTREAM_RATE_LIMIT: String(RATE.limit), UPSTREAM_RATE_WINDOW_MS: String(RATE.windowMs) },
};

test('tasks requested by any operation while no request may be sent share upstream requests', async t => {
  const clock = new HandClock();
  const { tenant, url, query, requests } = await startGateway(t, {
    clock,
    env: { UPSTREAM_RATE_LIMIT: '10', UPSTREAM_RATE_WINDOW_MS: '2000' },
  });
  const ids = tenant.addTasks(41, ENDED);
  // The token and this read take what the window grants at once, so later reads are batched until a
  // slot is free.
  await query(BY_ID, { id: ids.pop() });
  const before = requests().length;
  const answers = Promise.all(ids.map(id => query(BY_ID, { id })));
  await until(async () => (await missesOf(url)) === ids.length + 1);
  clock.advance(2_000);
  assert.deepEqual(
    (await answers).map(({ data }) => data.taskStatus.id),
    ids,
  );
  assert.equal(requests().length - before, 1);
});

/** How many tasks were not found in memory. */
async function missesOf(url: string): Promise<number> {
  const scraped = await scrape(new URL('/metrics', url).href);
  const lookups = 'task_status_gateway_memory_lookups_total';
  return sumOf(scraped, lookups, { kind: 'task', result: 'miss' });
}

test('250 tasks in one operation cost at most three upstream requests', async t => {
  const { tenant, query, requests } = await startGateway(t);
  const ids = tenant.addTasks(250, ENDED);
  const { data } = await query(
    `{ ${ids.map((id, place) => `t${place}: taskStatus(id: "${id}") { id }`).join(' ')} }`,
  );
  assert.deepEqual(
    Object.values(data).map((task: any) => task.id),
    ids,
  );
  assert.ok(requests().length <= 3, `${requests().length} requests`);
});

test('two identical lists at once are one request', async t => {
  const { sandbox, tenant, query, requests } = await startGateway(t);
  tenant.addTasks(3, ENDED);
  sandbox.faults.order({ fault: { kind: 'latency', ms: 100 } });
  const answers = await Promise.all([query(LIST, { first: 2 }), query(LIST, { first: 2 })]);
  assert.deepEqual(answers[0], answers[1]);
  assert.equal(requests().length, 1);
});

for (const staleness of ['1000', '0'])
  test(`when callers request far more than upstream allows, all are served and upstream never sends a 429 (MAX_STALENESS_MS=${staleness})`, async t => {
    const { sandbox, tenant, url, requests } = await startGateway(t, {
      ...LIMITED,
      env: { ...LIMITED.env, MAX_STALENESS_MS: staleness },
    });
    const ids = tenant.addTasks(1_000, ENDED);
    const queue = Array.from({ length: 4_000 }, (_, place) => ids[place % ids.length]!);
    let wrong = 0;
    const caller = async () => {
      for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
        const { data } = await postGraphQL(url, BY_ID, { id });
        if (data?.taskStatus?.id !== id) wrong++;
      }
    };
    await Promise.all(Array.from({ length: 200 }, caller));
    assert.equal(wrong, 0);
    assert.deepEqual(
      sandbox.journal.requests.filter(({ status }) => status === 429),
      [],
    );
    assert.ok(
      sandbox.journal.worstWindow(RATE.windowMs) <= RATE.limit,
      `${sandbox.journal.worstWindow(RATE.windowMs)} in a window`,
    );
    assert.ok(requests().length <= 400, `${requests().length} requests for 4,000 reads`);
  });

test('different lists are all served, within the limit', async t => {
  const { sandbox, tenant, query } = await startGateway(t, LIMITED);
  tenant.addTasks(120, ENDED);
  const answers = await Promise.all(
    Array.from({ length: 120 }, (_, first) => query(LIST, { first: first + 1 })),
  );
  assert.deepEqual(
    answers.map(({ data }) => data?.taskStatuses.nodes.length),
    Array.from({ length: 120 }, (_, first) => first + 1),
  );
  assert.ok(sandbox.journal.worstWindow(RATE.windowMs) <= RATE.limit);
  assert.ok(sandbox.journal.requests.every(({ status }) => status === 200));
});

test('the gateway waits out an unexpected 429, and no caller sees it', async t => {
  const { sandbox, tenant, query } = await startGateway(t);
  const id = tenant.addTask(ENDED);
  const date = new Date(Date.now() + 1_500).toUTCString();
  for (const retryAfter of ['1', date]) {
    sandbox.journal.clear();
    sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter }, times: 1 });
    const [task, list] = await Promise.all([query(BY_ID, { id }), query(LIST)]);
    assert.deepEqual([task.errors, list.errors], [undefined, undefined]);
    assert.equal(task.data.taskStatus.id, id);
    const [refused, ...others] = sandbox.journal.requests;
    const pausedMs = Math.min(
      ...others.filter(({ at }) => at > refused!.at + 200).map(({ at }) => at - refused!.at),
    );
    assert.ok(pausedMs >= (retryAfter === '1' ? 1_000 : 200), `sent again after ${pausedMs} ms`);
  }
});

test('a caller who cannot be served in time is refused early, with a time to retry', async t => {
  const { sandbox, tenant, query } = await startGateway(t, {
    env: { OPERATION_TIMEOUT_MS: '500' },
  });
  tenant.addTask(ENDED);
  await query(LIST);
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '60' }, times: 1 });
  const [error] = (await query(LIST, { first: 1 })).errors ?? [];
  assert.deepEqual(
    [error?.extensions.code, error?.extensions.retryAfterSeconds],
    ['RATE_LIMITED', 60],
  );
  const [again] = (await query(LIST, { first: 2 })).errors ?? [];
  assert.equal(again?.extensions.code, 'RATE_LIMITED');
  assert.equal(sandbox.journal.requests.length, 2, 'no request was sent during the pause');
});

test('each client has its own budget, and an exhausted one does not delay others', async t => {
  const { sandbox, tenant, query } = await startGateway(t, { env: { AUTH_MODE: 'passthrough' } });
  const id = tenant.addTask(ENDED);
  const [busy, calm] = await Promise.all(
    [sandbox.client, sandbox.clients.add()].map(
      async client => `Bearer ${await fetchToken(sandbox, client)}`,
    ),
  );
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '3' }, times: 1 });
  let isServed = false;
  const waiting = query(BY_ID, { id }, { authorization: busy! }).then(answer => {
    isServed = true;
    return answer;
  });
  await until(() => sandbox.journal.requests.some(({ status }) => status === 429));
  assert.equal((await query(BY_ID, { id }, { authorization: calm! })).data.taskStatus.id, id);
  assert.equal(isServed, false);
  assert.equal((await waiting).data.taskStatus.id, id);
});

test('a URL that a proxy refuses as too long is halved until it passes, and later URLs stay that short', async t => {
  const { sandbox, tenant, query, requests } = await startGateway(t, {
    env: { UPSTREAM_MAX_URL_BYTES: '16000' },
  });
  const ids = tenant.addTasks(240, ENDED);
  const ask = async () => {
    const { data } = await query(
      `{ ${ids.map((id, place) => `t${place}: taskStatus(id: "${id}") { id }`).join(' ')} }`,
    );
    assert.deepEqual(
      Object.values(data).map((task: any) => task.id),
      ids,
    );
  };
  await ask();
  assert.ok(sandbox.journal.requests.length > 1);
  sandbox.journal.clear();
  await ask();
  assert.ok(requests().every(request => request.length < 8_192));
});

test('when the last caller disconnects, its upstream request is cancelled and the socket closed', async t => {
  const { sandbox, url } = await startGateway(t);
  sandbox.faults.order({ fault: { kind: 'latency', ms: 5_000 } });
  const controllers = [new AbortController(), new AbortController()];
  const calls = controllers.map(({ signal }) =>
    fetch(url, {
      method: 'POST',
      signal,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: LIST }),
    }),
  );
  await until(() => sandbox.journal.requests.length === 1);
  const [request] = sandbox.journal.requests;
  controllers[0]!.abort();
  await assert.rejects(calls[0]!);
  assert.equal(request!.isClosed, false, 'another caller still waits');
  controllers[1]!.abort();
  await assert.rejects(calls[1]!);
  await until(() => request!.isClosed);
  assert.equal(request!.status, 0, 'closed without an answer');
});

test("two tokens with different rights that request the same ids concurrently never see each other's answers", async t => {
  const { sandbox, tenant, url } = await startGateway(t, {
    env: { AUTH_MODE: 'passthrough', MAX_STALENESS_MS: '1000' },
  });
  const [source, other] = tenant.sources;
  const ids = [
    ...tenant.addTasks(50, { ...ENDED, target: source }),
    ...tenant.addTasks(50, { ...ENDED, target: other }),
  ];
  const callers = await Promise.all(
    [source, other].map(async ({ id }) => ({
      sourceId: id,
      headers: {
        authorization: `Bearer ${await fetchToken(sandbox, sandbox.clients.add({ sourceIds: [id] }))}`,
      },
    })),
  );
  const query = `query ($ids: [ID!]!, ${ids.map((_, place) => `$i${place}: ID!`).join(', ')}) {
    taskStatuses(filter: { id: { in: $ids } }, first: 100) { nodes { target { id } } }
    ${ids.map((_, place) => `t${place}: taskStatus(id: $i${place}) { target { id } }`).join(' ')}
  }`;
  const variables = Object.fromEntries(ids.map((id, place) => [`i${place}`, id]));
  let seen = 0;
  await Promise.all(
    Array.from({ length: 100 }, async (_, round) => {
      const { sourceId, headers } = callers[round % 2]!;
      const { data } = await postGraphQL(url, query, { ...variables, ids }, headers);
      const { taskStatuses, ...single } = data;
      const tasks = [...taskStatuses.nodes, ...Object.values(single).filter(task => task !== null)];
      assert.equal(tasks.length, 100);
      for (const task of tasks) assert.equal(task.target.id, sourceId);
      seen += ids.length;
    }),
  );
  assert.equal(seen, 10_000);
});

test('whatever ids are requested concurrently, each caller gets its own answer', async t => {
  const { tenant, query } = await startGateway(t);
  const ids = [...tenant.addTasks(30, ENDED), 'unknown', '', '"', '\\', 'x'.repeat(300)];
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.constantFrom(...ids), { minLength: 1, maxLength: 8 }), {
        minLength: 1,
        maxLength: 6,
      }),
      async operations => {
        const answers = await Promise.all(
          operations.map(requested =>
            query(
              `{ ${requested.map((id, place) => `t${place}: taskStatus(id: ${JSON.stringify(id)}) { id }`).join(' ')} }`,
            ),
          ),
        );
        for (const [place, requested] of operations.entries())
          assert.deepEqual(
            requested.map((_, task) => answers[place]!.data[`t${task}`]?.id ?? null),
            requested.map(id => (id.length === 32 ? id : null)),
          );
      },
    ),
    { numRuns: 60 },
  );
});
