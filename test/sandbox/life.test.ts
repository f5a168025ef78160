import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { SandboxOptions } from '../../src/sandbox/sandbox.ts';
import { HandClock } from '../support/hand-clock.ts';
import { fetchToken, startSandbox } from '../support/start.ts';

async function connect(t: TestContext, options: SandboxOptions = {}) {
  const clock = new HandClock();
  const sandbox = await startSandbox(t, { clock, ...options });
  const authorization = `Bearer ${await fetchToken(sandbox)}`;
  const get = (path: string, init: { method?: string; headers?: Record<string, string> } = {}) =>
    fetch(`${sandbox.url}${path}`, { ...init, headers: { authorization, ...init.headers } });
  const read = async (path: string): Promise<any> => (await get(path)).json();
  return { clock, sandbox, tenant: sandbox.tenant, get, read };
}

test('a task is created, launched, makes progress, and is dated as ended before it has a status', async t => {
  const { clock, tenant, read } = await connect(t);
  const id = tenant.addTask({
    queueMs: 1_000,
    runMs: 10_000,
    statusLagMs: 500,
    steps: 10,
    reportsPercent: true,
    keepsZeroPercent: true,
    status: 'WARNING',
  });
  const states = [];
  for (const stepMs of [0, 1_000, 5_000, 5_000, 500]) {
    clock.advance(stepMs);
    states.push(await read(`/v2025/task-status/${id}`));
  }
  assert.deepEqual(
    states.map(task => task.launched !== null),
    [false, true, true, true, true],
  );
  assert.deepEqual(
    states.map(task => task.percentComplete),
    [0, 0, 50, 0, 0],
  );
  assert.deepEqual(
    states.map(task => task.completed !== null),
    [false, false, false, true, true],
  );
  assert.deepEqual(
    states.map(task => task.completionStatus),
    [null, null, null, null, 'WARNING'],
  );
  assert.equal(states[0].progress, null);
  assert.ok(
    Object.keys(states[4].attributes).length > Object.keys(states[1].attributes).length,
    'counters were gathered',
  );
  assert.equal(states[4].messages[0].type, 'WARN');
});

test('the same seed creates the same tenant, and another seed another', async t => {
  const rowsOf = async (seed: number) => {
    const { clock, read } = await connect(t, {
      seed,
      tasks: 30,
      newTaskEveryMs: 1_000,
      oddities: true,
    });
    clock.advance(30_000);
    return read('/v2026/task-status');
  };
  const first = await rowsOf(7);
  assert.equal(first.length, 60);
  assert.deepEqual(await rowsOf(7), first);
  assert.notDeepEqual(await rowsOf(8), first);
});

test('a tenant has every completion status, odd dates, and sometimes an unknown enum value', async t => {
  const { read } = await connect(t, { tasks: 1_000, oddities: true });
  const rows = (
    await Promise.all([0, 250, 500, 750].map(offset => read(`/task-status/v1?offset=${offset}`)))
  ).flat();
  const statuses = new Set(rows.map(row => row.completionStatus));
  for (const status of [
    'SUCCESS',
    'WARNING',
    'ERROR',
    'TERMINATED',
    'TEMPERROR',
    'PARTIAL_SUCCESS',
    null,
  ])
    assert.ok(statuses.has(status), String(status));
  assert.ok(rows.some(row => typeof row.created === 'number'));
  assert.ok(rows.some(row => String(row.created).endsWith('+0000')));
  assert.ok(rows.some(row => row.completionStatus === 'SUCCESS' && row.percentComplete === 0));
  assert.ok(rows.some(row => row.target === null));
});

test('lists contain the tasks that their version specifies, with a count only on request', async t => {
  const { tenant, get, read } = await connect(t);
  tenant.addTasks(2, { queueMs: 0, runMs: 0, statusLagMs: 0 });
  tenant.addTasks(3, { runMs: 60_000 });
  const counts = Object.fromEntries(
    await Promise.all(
      [
        '/beta/task-status',
        '/v2024/task-status',
        '/v2025/task-status',
        '/v2026/task-status',
        '/task-status/v1',
      ].map(async path => [path, (await read(path)).length]),
    ),
  );
  assert.deepEqual(counts, {
    '/beta/task-status': 2,
    '/v2024/task-status': 2,
    '/v2025/task-status': 5,
    '/v2026/task-status': 5,
    '/task-status/v1': 5,
  });
  assert.equal((await get('/task-status/v1?limit=1')).headers.get('x-total-count'), null);
  assert.equal((await get('/task-status/v1?limit=1&count=true')).headers.get('x-total-count'), '5');
  assert.equal(
    (await get('/v2025/task-status/pending-tasks?limit=1&count=true')).headers.get('x-total-count'),
    '3',
  );
  assert.equal((await get('/v2026/task-status/pending-tasks')).status, 404);
});

test('each client and version has its own limit, and a 429 has a time to retry', async t => {
  const { clock, get, sandbox } = await connect(t);
  const statuses = async (path: string, count: number) =>
    (await Promise.all(Array.from({ length: count }, () => get(path)))).map(({ status }) => status);
  assert.ok((await statuses('/v2025/task-status?limit=0', 100)).every(status => status === 200));
  const refused = await get('/v2025/task-status?limit=0');
  assert.deepEqual(
    [refused.status, refused.headers.get('retry-after'), await refused.json()],
    [429, '10', { message: ' Rate Limit Exceeded ' }],
  );
  assert.equal((await get('/v2026/task-status?limit=0')).status, 200);
  clock.advance(10_000);
  assert.equal((await get('/v2025/task-status?limit=0')).status, 200);
  assert.equal(sandbox.journal.worstWindow(10_000), 101);
});

test('tokens are issued for each form of request, expire, and are rejected as upstream does', async t => {
  const { clock, sandbox } = await connect(t);
  const { id: client_id, secret: client_secret } = sandbox.client;
  const fields = { grant_type: 'client_credentials', client_id, client_secret };
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  const url = `${sandbox.url}/oauth/token`;
  const answers = await Promise.all([
    fetch(url, { method: 'POST', body: form }),
    fetch(url, { method: 'POST', body: new URLSearchParams(fields) }),
    fetch(`${url}?${new URLSearchParams(fields)}`, { method: 'POST' }),
  ]);
  const tokens = await Promise.all(answers.map(answer => answer.json()));
  assert.deepEqual(
    tokens.map(({ token_type, expires_in }) => [token_type, expires_in]),
    Array(3).fill(['bearer', 749]),
  );

  const authorization = `Bearer ${tokens[0].access_token}`;
  const read = async (header: string | null) => {
    const answer = await fetch(`${sandbox.url}/v2025/task-status`, {
      headers: header ? { authorization: header } : {},
    });
    return [answer.status, await answer.json()];
  };
  assert.equal((await read(authorization))[0], 200);
  assert.equal((await read(null))[0], 401);
  assert.equal((await read('Bearer x.y.z'))[0], 401);
  clock.advance(750_000);
  assert.deepEqual(await read(authorization), [
    401,
    { error: 'JWT validation failed: JWT is expired' },
  ]);

  const bad = await fetch(url, {
    method: 'POST',
    body: new URLSearchParams({ ...fields, client_secret: 'x' }),
  });
  assert.deepEqual(
    [bad.status, await bad.json()],
    [401, { error: 'invalid_client', error_description: 'Bad client credentials' }],
  );
});

test('only users of a sufficient level may PATCH', async t => {
  const { sandbox, tenant } = await connect(t);
  const id = tenant.addTask();
  const patch = async (client: Parameters<typeof fetchToken>[1]) =>
    fetch(`${sandbox.url}/v2025/task-status/${id}`, {
      method: 'PATCH',
      headers: {
        authorization: `Bearer ${await fetchToken(sandbox, client)}`,
        'content-type': 'application/json-patch+json',
      },
      body: '[{"op":"replace","path":"/completionStatus","value":"Success"}]',
    });
  assert.equal((await patch(sandbox.client)).status, 200);
  assert.equal((await patch(sandbox.clients.add({ kind: 'application' }))).status, 403);
  assert.equal((await patch(sandbox.clients.add({ level: 'HELPDESK' }))).status, 403);
});

test('ordered faults occur as often as ordered', async t => {
  const { sandbox, tenant, get, read } = await connect(t);
  const ids = tenant.addTasks(4);
  const list = '/task-status/v1';
  const idsOf = async () => (await read(list)).map(({ id }: { id: string }) => id);

  sandbox.faults.order({ fault: { kind: 'status', status: 503 }, times: 1 });
  assert.equal((await get(list)).status, 503);
  sandbox.faults.order({ fault: { kind: 'status', status: 429, retryAfter: '7' }, times: 1 });
  assert.equal((await get(list)).headers.get('retry-after'), '7');
  for (const kind of ['drop', 'truncate', 'malformed'] as const) {
    sandbox.faults.order({ fault: { kind }, times: 1 });
    await assert.rejects(read(list), kind);
  }
  sandbox.faults.order({ fault: { kind: 'omit-row' }, times: 1 });
  assert.equal((await idsOf()).length, 3);
  sandbox.faults.order({ fault: { kind: 'repeat-row' }, times: 1 });
  assert.equal((await idsOf()).length, 5);
  sandbox.faults.order({ fault: { kind: 'reorder-rows' }, times: 1 });
  assert.deepEqual(await idsOf(), ids.toSorted().toReversed());
  sandbox.faults.order({ fault: { kind: 'malformed-row' }, times: 1 });
  assert.equal(
    (await read(list)).filter(({ created }: { created: unknown }) => created === 'never').length,
    1,
  );
  assert.deepEqual(await idsOf(), ids.toSorted());
});

test('a request line that is too long for nginx gets a 414', async t => {
  const { get } = await connect(t);
  assert.equal((await get(`/task-status/v1?filters=${'x'.repeat(9_000)}`)).status, 414);
});
