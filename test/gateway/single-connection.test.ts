import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventStream } from '../../src/http/transports/event-stream.ts';
import { Mailbox } from '../../src/progress/mailbox.ts';
import { startGateway } from '../support/start.ts';

const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id } }';
const LASTING = { queueMs: 0, runMs: 86_400_000 };

async function start(t: Parameters<typeof startGateway>[0], env: Record<string, string> = {}) {
  const gateway = await startGateway(t, { env });
  const url = `${gateway.url}/stream`;
  const id = gateway.tenant.addTask(LASTING);
  const reserve = async () => (await fetch(url, { method: 'PUT' })).text();
  const post = async (token: string, body: unknown, type = 'application/json') => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': type, 'x-graphql-event-stream-token': token },
      body: JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, code: text && JSON.parse(text).errors[0].extensions.code };
  };
  const operation = (operationId: unknown) => ({
    query: PROGRESS,
    variables: { id },
    extensions: { operationId },
  });
  return { ...gateway, url, reserve, post, operation };
}

test('an error of an operation is returned by its POST, with a code', async t => {
  const { reserve, post, operation, requests } = await start(t);
  const token = await reserve();
  const right = operation('1');
  assert.deepEqual(await post('unknown', right), { status: 404, code: 'NOT_FOUND' });
  assert.deepEqual(await post(token, operation('')), { status: 400, code: 'BAD_USER_INPUT' });
  assert.deepEqual(await post(token, operation(7)), { status: 400, code: 'BAD_USER_INPUT' });
  for (const body of [[], 'text', null])
    assert.deepEqual(await post(token, body), { status: 400, code: 'BAD_USER_INPUT' });
  for (const query of ['{', '{ nope }', 'query A { __typename } query B { __typename }'])
    assert.deepEqual(await post(token, { ...right, query }), {
      status: 400,
      code: 'BAD_USER_INPUT',
    });
  // A page of another origin may send these without a preflight request.
  for (const type of ['text/plain;application/json', 'text/plain', ''])
    assert.deepEqual(await post(token, right, type), { status: 415, code: 'BAD_USER_INPUT' });
  assert.equal(requests().length, 0);
  assert.deepEqual(await post(token, right), { status: 202, code: '' });
  assert.deepEqual(await post(token, right), { status: 409, code: 'BAD_USER_INPUT' });
});

test('a stream allows a limited number of operations, and one reader', async t => {
  const { url, reserve, post, operation } = await start(t, {
    MAX_SUBSCRIPTIONS_PER_CONNECTION: '2',
  });
  const token = await reserve();
  const open = () => fetch(`${url}?token=${token}`, { headers: { accept: 'text/event-stream' } });
  const stream = await open();
  t.after(() => stream.body?.cancel());
  assert.equal((await open()).status, 409);
  assert.equal((await post(token, operation('1'))).status, 202);
  assert.equal((await post(token, operation('2'))).status, 202);
  assert.deepEqual(await post(token, operation('3')), { status: 429, code: 'RATE_LIMITED' });
  const ended = await fetch(`${url}?token=${token}&operationId=1`, { method: 'DELETE' });
  assert.equal(ended.status, 200);
  assert.equal((await post(token, operation('3'))).status, 202);
});

test('the number of streams that are reserved and not opened is limited', async t => {
  const { url } = await start(t);
  const statuses = new Map<number, number>();
  for (let count = 0; count < 110; count++) {
    const { status } = await fetch(url, { method: 'PUT' });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(statuses), { 201: 100, 429: 10 });
});

test('a slow reader of a stream gets the newest event of each operation, and always the last', async () => {
  const stream = new EventStream({ onOpen: () => {}, onClose: () => {} });
  stream.open();
  const mailboxes = ['a', 'b'].map(id => {
    const mailbox = new Mailbox<object>(() => {});
    stream.start(stream.reserve(id), mailbox as AsyncIterableIterator<object>);
    return mailbox;
  });
  for (let value = 1; value <= 1_000; value++) {
    for (const mailbox of mailboxes) mailbox.put('key', { data: { value } });
    await new Promise(resolve => setImmediate(resolve));
  }
  for (const mailbox of mailboxes) mailbox.end();

  const received: Record<string, number[]> = { a: [], b: [] };
  let open = 2;
  for await (const chunk of stream) {
    for (const [, event, json = ''] of String(chunk).matchAll(/event: (\w+)\ndata: (.*)\n\n/g)) {
      const { id, payload } = JSON.parse(json);
      if (event === 'complete') open--;
      else received[id]?.push(payload.data.value);
    }
    if (open === 0) break;
  }
  for (const values of Object.values(received)) {
    assert.ok(values.length <= 4, `${values.length} values`);
    assert.equal(values.at(-1), 1_000);
  }
});

test('an operation stopped while it starts is cancelled, and so are all of a closed stream', async () => {
  const closed: string[] = [];
  const stream = new EventStream({ onOpen: () => {}, onClose: () => {} });
  stream.open();
  const begin = (name: string) => new Mailbox<object>(() => closed.push(name));
  const first = stream.reserve('x');
  stream.stop('x');
  const second = stream.reserve('x');
  stream.start(first, begin('first') as AsyncIterableIterator<object>);
  stream.start(second, begin('second') as AsyncIterableIterator<object>);
  await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(closed, ['first']);
  stream.release(first);
  assert.ok(stream.has('x'), 'the place is that of the second');
  const late = stream.reserve('late');
  stream.destroy();
  stream.start(late, begin('late') as AsyncIterableIterator<object>);
  await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(closed.toSorted(), ['first', 'late', 'second']);
  assert.equal(stream.size, 0);
});
