import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock } from '../support/hand-clock.ts';
import { postGraphQL, startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const BY_ID = 'query ($id: ID!) { taskStatus(id: $id) { id } }';
const LIST = 'query ($first: Int) { taskStatuses(first: $first) { nodes { id } } }';
const UPDATE =
  'mutation ($id: ID!) { updateTaskStatus(input: { id: $id, completionStatus: ERROR }) { taskStatus { id } } }';
const CODES = new Set([
  'RATE_LIMITED',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_UNAVAILABLE',
  'UPSTREAM_INVALID_RESPONSE',
]);

test('10,000 queries to an upstream with every kind of fault are answered, or refused with the right code', async t => {
  const { sandbox, tenant, url } = await startGateway(t, {
    sandbox: { rateLimit: 100, rateWindowMs: 1_000 },
    env: {
      UPSTREAM_RATE_LIMIT: '100',
      UPSTREAM_RATE_WINDOW_MS: '1000',
      UPSTREAM_TIMEOUT_MS: '2000',
    },
  });
  const ids = tenant.addTasks(2_000, ENDED);
  sandbox.faults.order({ fault: { kind: 'status', status: 503 }, rate: 0.2 });
  sandbox.faults.order({ fault: { kind: 'drop' }, rate: 0.05 });
  sandbox.faults.order({ fault: { kind: 'truncate' }, rate: 0.02 });
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '1' }, rate: 0.02 });

  const queue = Array.from({ length: 10_000 }, (_, place) => ids[(place * 7) % ids.length]!);
  const outcomes = { answered: 0, refused: 0 };
  const caller = async () => {
    for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
      const { data, errors } = await postGraphQL(url, BY_ID, { id });
      if (errors) {
        assert.ok(
          errors.every(({ extensions }) => CODES.has(extensions['code'])),
          JSON.stringify(errors),
        );
        outcomes.refused++;
      } else {
        assert.equal(data.taskStatus.id, id);
        outcomes.answered++;
      }
    }
  };
  await Promise.all(Array.from({ length: 200 }, caller));

  assert.equal(outcomes.answered + outcomes.refused, 10_000);
  assert.ok(outcomes.answered > 9_500, `${outcomes.answered} answered`);
  assert.ok(sandbox.journal.worstWindow(1_000) <= 100);
});

test('a failed read is retried, and the number of retries is limited', async t => {
  const { sandbox, tenant, query, requests } = await startGateway(t);
  tenant.addTask(ENDED);
  sandbox.faults.order({ fault: { kind: 'status', status: 503 }, times: 2 });
  assert.equal((await query(LIST)).errors, undefined);
  assert.equal(requests().length, 3);
});

test('a PATCH that upstream may have applied is not retried', async t => {
  const { sandbox, tenant, query, requests } = await startGateway(t);
  const id = tenant.addTask({ runMs: 60_000 });
  for (const kind of ['drop', 'truncate', 'malformed'] as const) {
    sandbox.faults.order({ fault: { kind }, times: 1 });
    const before = requests().length;
    assert.ok((await query(UPDATE, { id })).errors, kind);
    assert.equal(requests().length, before + 1, kind);
  }
});

test('a PATCH that upstream refused with 429 or 401 is retried', async t => {
  const { sandbox, tenant, query, requests } = await startGateway(t);
  const id = tenant.addTask({ runMs: 60_000 });
  for (const status of [429, 401]) {
    sandbox.faults.order({ fault: { kind: 'status', status }, times: 1 });
    assert.equal((await query(UPDATE, { id })).errors, undefined);
  }
  assert.equal(requests().length, 4);
});

/** The response of the proxy before upstream during an outage. */
const OUTAGE = { kind: 'status', status: 502, body: '<h1>Bad Gateway</h1>' } as const;

test('after failures for some seconds, upstream gets no request for a while, then one at a time', async t => {
  const clock = new HandClock();
  const { sandbox, query, requests } = await startGateway(t, { clock });
  await query(LIST);
  sandbox.faults.order({ fault: OUTAGE });
  const refusalOf = async (first: number) => {
    let isAnswered = false;
    const answer = query(LIST, { first }).finally(() => (isAnswered = true));
    // The clock skips the pauses between attempts.
    await until(() => isAnswered || (clock.advance(100), false));
    return (await answer).errors?.[0];
  };
  let first = 1;
  let error = await refusalOf(first);
  while (!/requests are paused for a short time/.test(error?.message ?? ''))
    error = await refusalOf(++first);
  assert.deepEqual(
    [error?.extensions['code'], error?.extensions['retryAfterSeconds']],
    ['UPSTREAM_UNAVAILABLE', 5],
  );
  const before = requests().length;
  assert.ok(before <= 40, `${before} requests before it opened`);
  assert.match(
    (await query(LIST, { first: 60 })).errors?.[0]?.message ?? '',
    /requests are paused for a short time/,
  );
  assert.equal(requests().length, before, 'no request was sent upstream');

  sandbox.faults.clear();
  clock.advance(5_000);
  assert.equal((await query(LIST, { first: 61 })).errors, undefined);
  assert.equal((await query(LIST, { first: 62 })).errors, undefined);
});

test('twenty requests that fail at once and succeed when retried do not stop other callers', async t => {
  const { sandbox, query } = await startGateway(t);
  await query(LIST);
  sandbox.faults.order({ fault: OUTAGE, times: 20 });
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, place) => query(LIST, { first: place + 1 })),
  );
  assert.deepEqual(
    answers.flatMap(({ errors }) => errors ?? []),
    [],
  );
  assert.equal((await query(LIST, { first: 99 })).errors, undefined);
});

test('an operation fails at its timeout, whatever it is waiting for', async t => {
  const { sandbox, query } = await startGateway(t, {
    env: { OPERATION_TIMEOUT_MS: '300', UPSTREAM_TIMEOUT_MS: '10000' },
  });
  sandbox.faults.order({ fault: { kind: 'latency', ms: 5_000 } });
  assert.equal((await query(LIST)).errors?.[0]?.extensions.code, 'UPSTREAM_TIMEOUT');
  await until(() => sandbox.journal.requests.every(({ isClosed }) => isClosed));
});

test('recent answers are repeated to the same credential, and those of completed tasks for longer', async t => {
  const clock = new HandClock();
  const { tenant, query, requests } = await startGateway(t, {
    clock,
    env: { MAX_STALENESS_MS: '1000' },
  });
  const [ended, running] = [
    tenant.addTask(ENDED),
    tenant.addTask({ queueMs: 0, runMs: 3_600_000 }),
  ];
  const cost = async (...operation: Parameters<typeof query>) => {
    const before = requests().length;
    const { errors } = await query(...operation);
    assert.equal(errors, undefined);
    return requests().length - before;
  };
  assert.deepEqual(
    [await cost(BY_ID, { id: running }), await cost(BY_ID, { id: running })],
    [1, 0],
  );
  assert.deepEqual(
    [await cost(BY_ID, { id: ended }), await cost(LIST), await cost(LIST)],
    [1, 1, 0],
  );
  assert.deepEqual(
    [await cost(BY_ID, { id: 'unknown' }), await cost(BY_ID, { id: 'unknown' })],
    [1, 0],
  );
  const fresh = { 'cache-control': 'no-cache' };
  assert.deepEqual([await cost(BY_ID, { id: ended }, fresh), await cost(LIST, {}, fresh)], [1, 1]);
  clock.advance(1_000);
  assert.deepEqual(
    [
      await cost(BY_ID, { id: running }),
      await cost(BY_ID, { id: ended }),
      await cost(BY_ID, { id: 'unknown' }),
    ],
    [1, 0, 1],
  );
  assert.deepEqual(
    [await cost(LIST), await cost(BY_ID, { id: running })],
    [1, 0],
    'a list answers for its tasks',
  );
  clock.advance(60_000);
  assert.equal(await cost(BY_ID, { id: ended }), 1);
});

test('the next read of any kind sees a write', async t => {
  const { tenant, query } = await startGateway(t, { env: { MAX_STALENESS_MS: '60000' } });
  const id = tenant.addTask({ queueMs: 0, runMs: 3_600_000 });
  const STATE =
    'query ($id: ID!) { taskStatus(id: $id) { state } taskStatuses { nodes { state } } }';
  const states = async () => {
    const { data } = await query(STATE, { id });
    return [data.taskStatus.state, data.taskStatuses.nodes[0].state];
  };
  assert.deepEqual(await states(), ['RUNNING', 'RUNNING']);
  assert.equal((await query(UPDATE, { id })).errors, undefined);
  assert.deepEqual(await states(), ['COMPLETED', 'COMPLETED']);
});
