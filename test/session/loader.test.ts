import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import { createTaskLoader } from '../../src/session/loader.ts';
import { LightSignal } from '../../src/signal.ts';
import { createLists } from '../../src/session/lists.ts';
import { createMemories } from '../../src/session/memory.ts';
import { createSourcePages } from '../../src/session/source-pages.ts';
import { type Row, readRow } from '../../src/upstream/wire.ts';
import { until } from '../support/until.ts';

const SLOT = { settle() {}, isValid: () => true, cancel() {} };

/**
 * An upstream with a budget and answers that the test releases. Each answer has the state at the
 * time of its request.
 */
function setUp(idsPerRequest = 90, pressure = 1) {
  const slots: (() => void)[] = [];
  const requests: { ids: readonly string[]; answer: () => void; signal: AbortSignal }[] = [];
  let state = 'before';
  const memory = createMemories({ maxStalenessMs: 0, clock: systemClock }).of('c');
  const api = {
    idsPerRequest,
    pressure: () => pressure,
    reserve: () => new Promise<typeof SLOT>(resolve => slots.push(() => resolve(SLOT))),
    byIds(ids: readonly string[], { signal }: { signal?: AbortSignal } = {}) {
      assert.ok(signal);
      signal.throwIfAborted();
      const seen = state;
      return new Promise<Map<string, Row>>((resolve, reject) => {
        const answer = () =>
          resolve(
            new Map(
              ids.map(id => [
                id,
                readRow({ id, type: 'QUARTZ', uniqueName: seen, created: 1, percentComplete: 0 }),
              ]),
            ),
          );
        signal.addEventListener('abort', () => reject(signal.reason));
        requests.push({ ids, answer, signal });
      });
    },
  };
  const tasks = createTaskLoader({ api, memory, clock: systemClock });
  return {
    tasks,
    requests,
    write() {
      state = 'after';
      tasks.invalidate('x');
    },
    async grantSlots(count = 1) {
      await until(() => slots.length >= count);
      for (const grant of slots.splice(0)) grant();
    },
    async sent(count: number) {
      await until(() => requests.length === count);
      return requests.at(-1)!;
    },
    nameOf: (id = 'x', options = {}) =>
      tasks.load(id, options).then(
        task => task?.uniqueName ?? null,
        (error: Error) => error.name,
      ),
  };
}

test('a caller is answered when another one of the same load disconnects, before or after the request was sent', async () => {
  const { grantSlots, sent, nameOf } = setUp();
  for (const [round, leavesAfter] of (['gathering', 'sending'] as const).entries()) {
    const leaver = new AbortController();
    const left = nameOf('x', { signal: leaver.signal });
    if (leavesAfter === 'sending') {
      await grantSlots();
      await sent(2);
    }
    leaver.abort();
    const stayed = nameOf();
    await grantSlots();
    (await sent(round === 0 ? 1 : 3)).answer();
    assert.equal(await left, 'AbortError');
    assert.equal(await stayed, 'before');
  }
});

test('of several callers of one load, the remaining ones are answered; it is aborted when the last disconnects', async () => {
  const { grantSlots, sent, nameOf } = setUp();
  const leavers = [new AbortController(), new AbortController()];
  const [first, second] = leavers.map(({ signal }) => nameOf('x', { signal }));
  const other = nameOf('y');
  await grantSlots();
  const both = await sent(1);
  leavers[0]!.abort();
  leavers[1]!.abort();
  assert.deepEqual([await first, await second], ['AbortError', 'AbortError']);
  assert.equal(both.signal.aborted, false, 'another caller waits for the batch');
  both.answer();
  assert.equal(await other, 'before');

  const last = new AbortController();
  const remaining = nameOf('x', { signal: last.signal });
  await grantSlots();
  const request = await sent(2);
  last.abort();
  assert.equal(await remaining, 'AbortError');
  assert.equal(request.signal.aborted, true, 'no caller waits for the batch');
});

test('a fresh read is shared with callers who join it; one who disconnects does not end it for others', async () => {
  const { grantSlots, sent, nameOf } = setUp();
  const old = nameOf();
  await grantSlots();
  const first = await sent(1);
  const fresh = nameOf('x', { isFresh: true });
  const leaver = new AbortController();
  const left = nameOf('x', { isFresh: true, signal: leaver.signal });
  await grantSlots();
  const second = await sent(2);
  leaver.abort();
  first.answer();
  second.answer();
  assert.deepEqual(await Promise.all([old, fresh, left]), ['before', 'before', 'AbortError']);
});

test('while the budget has room, a load is sent at once, and those after it as soon as it is answered', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { grantSlots, sent, requests, nameOf } = setUp(90, 0);
  const first = nameOf('x');
  await grantSlots();
  const alone = await sent(1);
  const others = [nameOf('y'), nameOf('z')];
  alone.answer();
  assert.equal(await first, 'before');
  await grantSlots();
  (await sent(2)).answer();
  assert.deepEqual(await Promise.all(others), ['before', 'before']);
  assert.deepEqual(
    requests.map(({ ids }) => ids),
    [['x'], ['y', 'z']],
  );
});

test('while the budget has room, no load waits long for the answer to another', async t => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { grantSlots, sent, nameOf } = setUp(90, 0);
  void nameOf('x');
  await grantSlots();
  await sent(1);
  const other = nameOf('y');
  t.mock.timers.tick(10);
  await grantSlots();
  (await sent(2)).answer();
  assert.equal(await other, 'before');
});

test('hundreds of loads of one operation end when its client disconnects', async () => {
  const { grantSlots, sent, nameOf } = setUp(300);
  const signal = new LightSignal();
  const names = Array.from({ length: 250 }, (_, place) => nameOf(String(place), { signal }));
  await grantSlots();
  const request = await sent(1);
  signal.abort(new DOMException('The client has disconnected.', 'AbortError'));
  assert.deepEqual(new Set(await Promise.all(names)), new Set(['AbortError']));
  assert.equal(request.signal.aborted, true);
});

test('full batches answer each of two fresh reads', async () => {
  const { grantSlots, sent, requests, nameOf } = setUp(1);
  const old = nameOf();
  await grantSlots();
  await sent(1);
  const fresh = [nameOf('x', { isFresh: true }), nameOf('y'), nameOf('x', { isFresh: true })];
  await grantSlots(2);
  await until(() => requests.length === 3);
  for (const { answer } of requests) answer();
  assert.deepEqual(await Promise.all([old, ...fresh]), Array(4).fill('before'));
});

test('no request sent before a write answers a read after it, however many overlap', async () => {
  const { grantSlots, sent, write, nameOf } = setUp();
  const one = nameOf();
  await grantSlots();
  const first = await sent(1);
  const two = nameOf('x', { isFresh: true });
  await grantSlots();
  const second = await sent(2);
  first.answer();
  assert.equal(await one, 'before');
  write();
  const after = nameOf();
  await grantSlots();
  (await sent(3)).answer();
  assert.equal(await after, 'after');
  second.answer();
  assert.equal(await two, 'before');
});

test('callers who disconnect while pages of sources are collected cause no upstream request', async () => {
  const sent: string[] = [];
  const memory = createMemories({ maxStalenessMs: 0, clock: systemClock }).of('c');
  const api = {
    fits: () => true,
    async list(query: object) {
      sent.push(JSON.stringify(query));
      return { rows: [], total: null };
    },
  };
  const lists = createSourcePages(createLists({ api, memory, clock: systemClock }));
  const leaver = new AbortController();
  const page = (sourceId: string, signal?: AbortSignal) =>
    lists.page({ filter: { sourceIds: [sourceId] }, order: 'CREATED_DESC', limit: 1 }, { signal });
  const left = page('left', leaver.signal);
  const stays = page('there');
  leaver.abort();
  await assert.rejects(left, { name: 'AbortError' });
  await stays;
  assert.equal(sent.length, 1);
  assert.doesNotMatch(sent[0]!, /left/);
});

test('a caller who has already disconnected starts no request', async () => {
  const { nameOf, requests } = setUp();
  assert.equal(await nameOf('x', { signal: AbortSignal.abort() }), 'AbortError');
  assert.equal(requests.length, 0);
});
