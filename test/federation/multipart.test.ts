import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock, quietOf } from '../support/hand-clock.ts';
import { startGateway } from '../support/start.ts';
import { collect } from '../support/subscribe.ts';

const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';
const LASTING = { queueMs: 0, runMs: 86_400_000 };
const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };
const CONTENT_TYPE = 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0';
/** The Accept headers of Apollo's clients for the web, iOS and Kotlin, and of routers. */
const ACCEPTS = [
  'multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/graphql-response+json,application/json;q=0.9',
  'multipart/mixed;subscriptionSpec=1.0,application/graphql-response+json,application/json',
  'multipart/mixed; boundary="graphql"; subscriptionSpec=1.0, application/json',
  'multipart/mixed;subscriptionSpec="1.0", text/event-stream',
];

function post(url: string, accept: string, body: object, signal?: AbortSignal): Promise<Response> {
  return fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
}

/**
 * The parts of a body, each as soon as its closing boundary has arrived. Throws if the body
 * violates the protocol.
 */
async function* partsOf(response: Response): AsyncGenerator<any> {
  const boundary = '\r\n--graphql';
  let text = '';
  const chunks = response.body!.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  const has = async (expected: string) => {
    while (!text.includes(expected)) {
      const { done, value } = await chunks.next();
      assert.ok(!done, `the body ended without ${JSON.stringify(expected)}`);
      text += value;
    }
  };
  await has(boundary);
  assert.equal(text.indexOf(boundary), 0, 'nothing stands before the first boundary');
  for (;;) {
    text = text.slice(boundary.length);
    await has('\r\n');
    if (text.startsWith('--\r\n')) break;
    await has(boundary);
    const end = text.indexOf(boundary);
    const [headers, json] = text.slice(2, end).split('\r\n\r\n');
    assert.equal(headers?.toLowerCase(), 'content-type: application/json');
    yield JSON.parse(json ?? '');
    text = text.slice(end);
  }
  assert.equal(text, '--\r\n');
  assert.equal((await chunks.next()).done, true, 'nothing stands after the last boundary');
}

for (const accept of ACCEPTS)
  test(`multipart: ${accept} is sent a part for each event, up to the last boundary`, async t => {
    const { tenant, url } = await startGateway(t);
    const id = tenant.addTask(LASTING);
    const response = await post(url, accept, { query: PROGRESS, variables: { id } });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-type'), CONTENT_TYPE);
    const parts = partsOf(response);
    assert.deepEqual((await parts.next()).value, {}, 'a heartbeat opens it');
    const event = (state: string) => ({ payload: { data: { taskProgress: { id, state } } } });
    // The part is complete before the next one arrives.
    assert.deepEqual((await parts.next()).value, event('RUNNING'));
    tenant.finish(id);
    assert.deepEqual((await parts.next()).value, event('COMPLETED'));
    assert.equal((await parts.next()).done, true);
  });

test('multipart: SNAPSHOT_COMPLETE is sent if a list is empty', async t => {
  const { url } = await startGateway(t);
  const query = 'subscription { taskStatusChanged(snapshot: true) { kind taskStatus { id } } }';
  const leaving = new AbortController();
  const response = await post(url, ACCEPTS[0]!, { query }, leaving.signal);
  const parts = partsOf(response);
  assert.deepEqual((await parts.next()).value, {});
  assert.deepEqual((await parts.next()).value, {
    payload: { data: { taskStatusChanged: { kind: 'SNAPSHOT_COMPLETE', taskStatus: null } } },
  });
  leaving.abort();
});

test('multipart: heartbeats are sent while there are no events', async t => {
  const { tenant, url } = await startGateway(t);
  const id = tenant.addTask(LASTING);
  const parts = partsOf(await post(url, ACCEPTS[0]!, { query: PROGRESS, variables: { id } }));
  assert.deepEqual((await parts.next()).value, {});
  assert.equal((await parts.next()).value.payload.data.taskProgress.id, id);
  assert.deepEqual((await parts.next()).value, {});
  tenant.finish(id);
  assert.equal((await parts.next()).value.payload.data.taskProgress.state, 'COMPLETED');
  assert.equal((await parts.next()).done, true);
});

test('multipart: an error that ends the stream is sent in a payload', async t => {
  const { url } = await startGateway(t);
  const parts = partsOf(
    await post(url, ACCEPTS[0]!, { query: PROGRESS, variables: { id: 'unknown' } }),
  );
  assert.deepEqual((await parts.next()).value, {});
  assert.equal((await parts.next()).value.payload.errors[0].extensions.code, 'NOT_FOUND');
  assert.equal((await parts.next()).done, true);
});

test('multipart: an operation refused before the stream is answered with JSON, or one part if the client accepts no JSON', async t => {
  const { url } = await startGateway(t);
  const wrong = { query: 'subscription { taskProgress { id } }' };
  const asJson = await post(url, ACCEPTS[0]!, wrong);
  assert.match(asJson.headers.get('content-type') ?? '', /^application\/(graphql-response\+)?json/);
  assert.equal((await asJson.json()).errors[0].extensions.code, 'BAD_USER_INPUT');

  for (const body of [wrong, { query: PROGRESS }]) {
    const [part, ...others] = await collect(
      partsOf(await post(url, 'multipart/mixed;subscriptionSpec=1.0', body)),
    );
    assert.equal(part.errors[0].extensions.code, 'BAD_USER_INPUT');
    assert.deepEqual(others, []);
  }
});

test('multipart without its parameter is another protocol, which is not supported', async t => {
  const { tenant, url } = await startGateway(t);
  const body = { query: PROGRESS, variables: { id: tenant.addTask(ENDED) } };
  for (const accept of ['multipart/mixed', 'multipart/mixed;deferSpec=20220824'])
    assert.equal((await post(url, accept, body)).status, 406);
});

test('multipart: a client that disconnects leaves nothing open', async t => {
  const clock = new HandClock();
  const { tenant, url, requests } = await startGateway(t, {
    clock,
    env: { PROGRESS_INTERVAL_MS: '1000' },
  });
  const id = tenant.addTask(LASTING);
  const controller = new AbortController();
  const body = { query: PROGRESS, variables: { id } };
  const parts = partsOf(await post(url, ACCEPTS[0]!, body, controller.signal));
  await parts.next();
  await parts.next();
  controller.abort();
  await quietOf(clock, 1_000);
  const before = requests().length;
  clock.advance(60_000);
  assert.equal(requests().length, before);
});
