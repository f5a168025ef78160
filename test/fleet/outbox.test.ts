import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { Inbox, MAX_CHUNK_BYTES, Outbox } from '../../src/fleet/outbox.ts';
import { openFleet } from '../support/fleet.ts';
import { HandClock } from '../support/hand-clock.ts';
import { WITHOUT_OWN_REDIS, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const LIMITS = { limit: 20, windowMs: 400 };

/** Sends everything; the chunks, and when each was sent. */
async function sendAll(messages: readonly unknown[]) {
  const clock = new HandClock();
  const chunks: { bytes: Buffer; at: number }[] = [];
  const outbox = new Outbox<unknown>({
    from: 'a',
    clock,
    send: async bytes => void chunks.push({ bytes, at: clock.monotonic() }),
  });
  for (const message of messages) outbox.push(message);
  while (!outbox.isEmpty) {
    let isSent = false;
    const sent = outbox.sendNext().finally(() => (isSent = true));
    while (!isSent) {
      clock.advance(1);
      await new Promise(resolve => setImmediate(resolve));
    }
    await sent;
  }
  return chunks;
}

test('every message is received once, in order, in chunks of at most a megabyte', async () => {
  const anyText = fc
    .tuple(fc.string({ unit: 'binary', maxLength: 40 }), fc.integer({ min: 0, max: 60_000 }))
    .map(([text, times]) => text.repeat(times));
  await fc.assert(
    fc.asyncProperty(fc.array(anyText, { maxLength: 6 }), async messages => {
      const chunks = await sendAll(messages);
      const inbox = new Inbox<unknown>('b');
      const own = new Inbox<unknown>('a');
      assert.deepEqual(
        chunks.flatMap(({ bytes }) => inbox.receive(bytes)),
        messages,
      );
      assert.deepEqual(
        chunks.flatMap(({ bytes }) => own.receive(bytes)),
        [],
      );
      for (const { bytes } of chunks) assert.ok(bytes.length <= MAX_CHUNK_BYTES + 200);
    }),
    { numRuns: 25 },
  );
});

test('chunks are sent slowly enough that Redis keeps a subscriber that does not read', async () => {
  // Compression does not make these messages smaller.
  const messages = Array.from({ length: 20 }, () => randomBytes(600_000).toString('base64'));
  const chunks = await sendAll(messages);
  for (const [place, { at }] of chunks.entries()) {
    const bytes = chunks
      .slice(0, place + 1)
      .filter(chunk => chunk.at > at - 1_000)
      .reduce((sum, chunk) => sum + chunk.bytes.length, 0);
    assert.ok(bytes <= 10_000_000, `${bytes} bytes in a second`);
  }
});

test('a part of a message is dropped if its start was not received', async () => {
  const [, second, third] = await sendAll([
    randomBytes(1_500_000).toString('base64'),
    'the next message',
  ]);
  const inbox = new Inbox<unknown>('b');
  assert.ok(second && third);
  assert.deepEqual(inbox.receive(second.bytes), []);
  assert.deepEqual(inbox.receive(third.bytes), []);
});

test(
  'tens of megabytes at once reach every instance, and Redis disconnects none',
  { skip: WITHOUT_OWN_REDIS },
  async t => {
    // An eighth of Redis' default limits.
    const args = ['--client-output-buffer-limit', 'pubsub', '4mb', '1mb', '60'];
    const redis = await startRedis(t, { args });
    const fleets = await Promise.all([1, 2].map(() => openFleet(t, redis.url, LIMITS)));
    const counts = [0, 0];
    let reconnects = 0;
    const groups = fleets.map((fleet, place) =>
      fleet.openGroup<string>('g', {
        receive: () => void counts[place]!++,
        onReconnect: () => void reconnects++,
      }),
    );
    await Promise.all(groups.map(({ joined }) => joined));
    for (let sent = 0; sent < 30; sent++)
      groups[0]!.publish(randomBytes(600_000).toString('base64'));
    await until(() => counts[1] === 30);
    assert.equal(reconnects, 0);
  },
);
