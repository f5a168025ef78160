import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { API_VERSIONS } from '../../src/upstream/versions.ts';
import { HandClock, quietOf } from '../support/hand-clock.ts';
import { type GraphQLAnswer, fetchToken, startGateway } from '../support/start.ts';
import { TRANSPORTS, subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state completionStatus } }';
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const INTERVAL_MS = 1_000;
const MAX_QUIET_MS = 5 * INTERVAL_MS;

/** Subscribes to tasks over one socket, and records the events of each. */
function subscribeToAll(t: TestContext, url: string, ids: readonly string[]) {
  const client = createClient({
    url: url.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    lazyCloseTimeout: 0,
    retryAttempts: 0,
  });
  // The server may close first, which makes the client log an error.
  t.after(() => Promise.resolve(client.dispose()).catch(() => {}));
  const received = new Map<string, any[]>(ids.map(id => [id, []]));
  let ended = 0;
  for (const id of ids)
    client.subscribe(
      { query: PROGRESS, variables: { id } },
      {
        next: result => void received.get(id)?.push(result),
        error: () => ended++,
        complete: () => ended++,
      },
    );
  return {
    received,
    ended: () => ended,
    events: () => [...received.values()].reduce((sum, { length }) => sum + length, 0),
  };
}

/** Whether only the next polls wait for the clock; deadlines of requests are later. */
function isBetweenPolls(clock: HandClock): boolean {
  return clock.waiting > 0 && clock.lastInMs <= MAX_QUIET_MS;
}

/** Moves the clock by one interval and waits until the poll is over. Returns its requests. */
async function pass(clock: HandClock, { requests }: Awaited<ReturnType<typeof startGateway>>) {
  const before = requests().length;
  clock.advance(INTERVAL_MS);
  await until(() => isBetweenPolls(clock));
  return requests().slice(before);
}

for (const version of API_VERSIONS)
  test(`${version}: a poll of a thousand running tasks costs four requests, and five when some have ended`, async t => {
    const clock = new HandClock();
    const env = { UPSTREAM_API_VERSION: version, PROGRESS_INTERVAL_MS: String(INTERVAL_MS) };
    const gateway = await startGateway(t, { clock, env });
    const { tenant, url } = gateway;
    const ids = tenant.addTasks(1_000, LASTING);
    const { received, events, ended } = subscribeToAll(t, url, ids);
    await until(() => events() === 1_000 && isBetweenPolls(clock));

    const quiet = await pass(clock, gateway);
    assert.equal(quiet.length, 4, quiet.join('\n'));
    for (const id of ids.slice(0, 60)) tenant.finish(id, 'ERROR');
    const busy = await pass(clock, gateway);
    assert.ok(busy.length <= 5, busy.join('\n'));
    await until(() => ended() === 60);
    for (const id of ids.slice(0, 60))
      assert.equal(received.get(id)?.at(-1).data.taskProgress.completionStatus, 'ERROR');
    assert.equal(events(), 1_060, 'no other subscriber got an event');
  });

const CHANGES =
  'subscription { taskStatusChanged(snapshot: true) { kind taskStatus { id state } } }';

for (const version of API_VERSIONS)
  test(`${version}: a task that outlives many younger ones is published as ADDED and as COMPLETED`, async t => {
    const clock = new HandClock();
    const gateway = await startGateway(t, {
      clock,
      env: { UPSTREAM_API_VERSION: version, PROGRESS_INTERVAL_MS: String(INTERVAL_MS) },
    });
    const { tenant, url } = gateway;
    const [there = '', ended = ''] = tenant.addTasks(2, LASTING);
    tenant.finish(ended);
    const received: string[] = [];
    const events = subscribe(t, 'ws', url, CHANGES);
    void (async () => {
      for await (const { data } of events) {
        const { kind, taskStatus } = data.taskStatusChanged;
        received.push(`${kind} ${taskStatus.id} ${taskStatus.state}`);
      }
    })().catch(() => {});
    await until(() => received.length === 2 && isBetweenPolls(clock));
    assert.deepEqual(
      received.splice(0).toSorted(),
      [`SNAPSHOT ${ended} COMPLETED`, `SNAPSHOT ${there} RUNNING`].toSorted(),
    );

    const passUntil = async (count: number) => {
      while (received.length < count) await pass(clock, gateway);
      return received.splice(0);
    };
    const long = tenant.addTask(LASTING);
    assert.deepEqual(await passUntil(1), [`ADDED ${long} RUNNING`]);
    for (let younger = 0; younger < 3; younger++) {
      clock.advance(90_000);
      const id = tenant.addTask(LASTING);
      assert.deepEqual(await passUntil(1), [`ADDED ${id} RUNNING`]);
      tenant.finish(id);
      assert.deepEqual(await passUntil(1), [`COMPLETED ${id} COMPLETED`]);
    }
    for (const id of [long, there]) {
      tenant.finish(id);
      assert.deepEqual(await passUntil(1), [`COMPLETED ${id} COMPLETED`]);
    }
  });

test('a few watched tasks among very many running ones are polled by id', async t => {
  const clock = new HandClock();
  const gateway = await startGateway(t, {
    clock,
    env: { PROGRESS_INTERVAL_MS: String(INTERVAL_MS) },
  });
  const all = gateway.tenant.addTasks(5_000, LASTING);
  const { events } = subscribeToAll(t, gateway.url, all.slice(0, 180));
  await until(() => events() === 180 && isBetweenPolls(clock));
  await pass(clock, gateway);
  const later = await pass(clock, gateway);
  assert.equal(later.length, 2, later.join('\n'));
  assert.ok(later.every(request => request.includes('filters=id')));
});

test('a quiet task is polled less often, up to a stated interval, and more often as soon as it changes', async t => {
  const clock = new HandClock();
  const gateway = await startGateway(t, {
    clock,
    env: { PROGRESS_INTERVAL_MS: String(INTERVAL_MS) },
  });
  const { tenant, url, requests } = gateway;
  const id = tenant.addTask(LASTING);
  const { events } = subscribeToAll(t, url, [id]);
  await until(() => events() === 1 && isBetweenPolls(clock));
  const pollsIn = async (seconds: number) => {
    const before = requests().length;
    for (let second = 0; second < seconds; second++) await pass(clock, gateway);
    return requests().length - before;
  };
  assert.equal(await pollsIn(10), 10, 'while it is new');
  await pollsIn(20);
  assert.equal(await pollsIn(50), 10, 'while it is quiet, every fifth');
  tenant.correct(id, { completedAt: clock.now() });
  await pollsIn(5);
  assert.equal(events(), 2);
  assert.equal(await pollsIn(5), 5, 'once it has changed');
});

for (const transport of TRANSPORTS)
  test(`${transport}: a token that expires ends the stream with UNAUTHENTICATED`, async t => {
    const { sandbox, tenant, url } = await startGateway(t, {
      env: { AUTH_MODE: 'passthrough' },
      sandbox: { tokenLifetimeSeconds: 2 },
    });
    const id = tenant.addTask(LASTING);
    const events = subscribe(
      t,
      transport,
      url,
      PROGRESS,
      { id },
      `Bearer ${await fetchToken(sandbox)}`,
    );
    assert.equal((await events.next()).value.data.taskProgress.state, 'RUNNING');
    assert.equal((await events.next()).value.errors[0].extensions.code, 'UNAUTHENTICATED');
    assert.equal((await events.next()).done, true);
  });

test('subscribers with the same selection of a task share results, and others do not', async t => {
  const { tenant, url } = await startGateway(t);
  const id = tenant.addTask(LASTING);
  const queries = [
    'subscription ($id: ID!) { taskProgress(id: $id) { id completionStatus } }',
    'subscription ($id: ID!) { taskProgress(id: $id) { id completionStatus } }',
    'subscription ($id: ID!, $all: Boolean = false) { taskProgress(id: $id) { status: completionStatus percentComplete @include(if: $all) } }',
    'subscription A($id: ID!) { taskProgress(id: $id) { id } } subscription B($id: ID!) { taskProgress(id: $id) { state target { source { latestTask { id } } } } }',
  ];
  const streams = queries.slice(0, 3).map(query => subscribe(t, 'ws', url, query, { id }));
  const all = subscribe(t, 'sse', url, queries[2]!, { id, all: true });
  await Promise.all([...streams, all].map(stream => stream.next()));
  tenant.correct(id, { completionStatus: 'ERROR' });
  const received = await Promise.all(
    [...streams, all].map(async stream => (await stream.next()).value.data.taskProgress),
  );
  assert.deepEqual(received[0], { id, completionStatus: 'ERROR' });
  assert.deepEqual(received[1], received[0]);
  assert.deepEqual(received[2], { status: 'ERROR' });
  assert.deepEqual(received[3], { status: 'ERROR', percentComplete: 0 });
});

test('the subscriptions of a socket and of a credential are limited, with a code', async t => {
  const { tenant, url } = await startGateway(t, {
    env: { MAX_SUBSCRIPTIONS_PER_CONNECTION: '3', MAX_SUBSCRIPTIONS_PER_CREDENTIAL: '5' },
  });
  const id = tenant.addTask(LASTING);
  const open = async (count: number) => {
    const client = createClient({
      url: url.replace('http', 'ws'),
      webSocketImpl: WebSocket,
      lazyCloseTimeout: 0,
      retryAttempts: 0,
    });
    t.after(() => Promise.resolve(client.dispose()).catch(() => {}));
    const streams = Array.from({ length: count }, () =>
      client.iterate<any>({ query: PROGRESS, variables: { id } }),
    );
    const first = await Promise.all(
      streams.map(async stream => {
        try {
          const { value } = await stream.next();
          return value.data?.taskProgress?.state ?? value.errors[0].extensions.code;
        } catch (errors) {
          return (errors as GraphQLAnswer['errors'])?.[0]?.extensions['code'];
        }
      }),
    );
    return { streams, first };
  };
  const one = await open(4);
  assert.deepEqual(one.first, ['RUNNING', 'RUNNING', 'RUNNING', 'RATE_LIMITED']);
  const two = await open(3);
  assert.deepEqual(two.first.toSorted(), ['RATE_LIMITED', 'RUNNING', 'RUNNING']);
  await one.streams[0]!.return?.();
  let again = await open(1);
  // The slot of the subscriber that left is free as soon as the gateway notices.
  while (again.first[0] !== 'RUNNING') again = await open(1);
});

test('every way of disconnecting frees all resources', async t => {
  const clock = new HandClock();
  const gateway = await startGateway(t, {
    clock,
    env: { PROGRESS_INTERVAL_MS: String(INTERVAL_MS) },
  });
  const { tenant, url, requests } = gateway;
  const ids = tenant.addTasks(20, LASTING);
  const body = (id: string) => JSON.stringify({ query: PROGRESS, variables: { id } });
  const leave = {
    async unsubscribes(id: string) {
      const client = createClient({
        url: url.replace('http', 'ws'),
        webSocketImpl: WebSocket,
        lazyCloseTimeout: 0,
      });
      const stream = client.iterate({ query: PROGRESS, variables: { id } });
      await stream.next();
      await stream.return?.();
      await client.dispose();
    },
    async killsItsSocket(id: string) {
      const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
      await new Promise(resolve => socket.once('open', resolve));
      socket.send('{"type":"connection_init"}');
      await new Promise(resolve => socket.once('message', resolve));
      socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: JSON.parse(body(id)) }));
      await new Promise(resolve => socket.once('message', resolve));
      socket.terminate();
    },
    async hangsUp(id: string) {
      const controller = new AbortController();
      const headers = { accept: 'text/event-stream', 'content-type': 'application/json' };
      const response = await fetch(url, {
        method: 'POST',
        headers,
        body: body(id),
        signal: controller.signal,
      });
      await response.body!.getReader().read();
      controller.abort();
    },
    async goesBeforeItsFirstEvent(id: string) {
      const socket = new WebSocket(url.replace('http', 'ws'), 'graphql-transport-ws');
      await new Promise(resolve => socket.once('open', resolve));
      socket.send('{"type":"connection_init"}');
      await new Promise(resolve => socket.once('message', resolve));
      socket.send(JSON.stringify({ id: '1', type: 'subscribe', payload: JSON.parse(body(id)) }));
      socket.terminate();
    },
  };
  for (const way of Object.values(leave)) await Promise.all(ids.map(way));
  await quietOf(clock, INTERVAL_MS);
  const quiet = requests().length;
  clock.advance(600_000);
  assert.deepEqual([requests().length, clock.waiting], [quiet, 0]);
});

test('a task that stays unreadable ends only its own stream, with its code', async t => {
  const clock = new HandClock();
  const gateway = await startGateway(t, {
    clock,
    env: { PROGRESS_INTERVAL_MS: String(INTERVAL_MS) },
  });
  const { sandbox, tenant, url } = gateway;
  const ids = tenant.addTasks(2, LASTING);
  const [missing = '', there = ''] = ids;
  const { received, ended, events } = subscribeToAll(t, url, ids);
  await until(() => events() === 2 && isBetweenPolls(clock));
  tenant.remove(missing);
  sandbox.faults.order({ fault: { kind: 'status', status: 403 }, route: 'task' });
  for (let seconds = 0; seconds < 55; seconds++) await pass(clock, gateway);
  assert.equal(ended(), 0, 'what passes ends no stream');
  while (ended() === 0) await pass(clock, gateway);
  assert.equal(received.get(missing)?.at(-1).errors[0].extensions.code, 'FORBIDDEN');
  tenant.finish(there);
  // Nothing is polled after this, so there is no next poll to wait for.
  await until(() => {
    clock.advance(INTERVAL_MS);
    return ended() === 2;
  });
  assert.equal(received.get(there)?.at(-1).data.taskProgress.state, 'COMPLETED');
});
