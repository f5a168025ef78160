import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from '../../src/errors.ts';
import { Mailbox } from '../../src/progress/mailbox.ts';
import { collect } from '../support/subscribe.ts';

function setUp() {
  let closed = 0;
  const mailbox = new Mailbox<string>(() => closed++);
  return { mailbox, closed: () => closed };
}

test('a slow reader gets the newest of each key, and always the last', async () => {
  const { mailbox } = setUp();
  for (let count = 1; count <= 1_000; count++) mailbox.put('a', `a${count}`);
  mailbox.put('b', 'b1');
  mailbox.end();
  assert.deepEqual(await collect(mailbox), ['a1000', 'b1']);
});

test('an error is the last value read, after what came before it', async () => {
  const { mailbox } = setUp();
  const error = new GatewayError('NOT_FOUND', 'gone');
  mailbox.put('a', 'a1');
  mailbox.end(error);
  mailbox.put('a', 'too late');
  assert.deepEqual(await collect(mailbox), ['a1', error]);
});

test('a subscriber that leaves before its first event is removed once', async () => {
  const { mailbox, closed } = setUp();
  await mailbox.return();
  await mailbox.return();
  mailbox.end();
  assert.equal(closed(), 1);
  assert.deepEqual(await mailbox.next(), { done: true, value: undefined });
});

test('a waiting reader gets the end of the stream', async () => {
  const { mailbox } = setUp();
  const waiting = [mailbox.next(), mailbox.next()];
  mailbox.put('a', 'a1');
  await mailbox.return();
  assert.deepEqual(await Promise.all(waiting), [
    { done: false, value: 'a1' },
    { done: true, value: undefined },
  ]);
});
