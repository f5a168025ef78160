import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createMemories } from '../../src/session/memory.ts';
import { createRowReader } from '../../src/upstream/row-reader.ts';
import { HandClock } from '../support/hand-clock.ts';
import type { Task } from '../../src/task/task.ts';

const reader = createRowReader();

function task(id: string, attributes = {}): Task {
  const json = { id, type: 'QUARTZ', uniqueName: 'n', created: 0, percentComplete: 0, attributes };
  return reader.row(Buffer.from(JSON.stringify(json))) as Task;
}

test('the memory is limited in entries and in bytes, over all credentials together', () => {
  const memories = createMemories({
    maxStalenessMs: 1_000,
    clock: new HandClock(),
    maxEntries: 100,
    maxBytes: 100_000,
  });
  for (let count = 0; count < 10_000; count++) {
    memories
      .of(`caller ${count % 50}`)
      .keepTask(`t${count}`, task(`t${count}`, { text: 'x'.repeat(count % 3_000) }), 0);
    assert.ok(memories.size.entries <= 100 && memories.size.bytes <= 100_000);
  }
  assert.ok(memories.size.entries > 5);
});

test('reads of one credential do not evict answers of others', () => {
  const memories = createMemories({
    maxStalenessMs: 1_000,
    clock: new HandClock(),
    maxEntries: 1_000,
    maxBytes: 1_000_000,
  });
  const others = Array.from({ length: 10 }, (_, place) => memories.of(`caller ${place}`));
  for (const memory of others)
    for (let count = 0; count < 10; count++) memory.keepTask(`t${count}`, task(`t${count}`), 0);
  const greedy = memories.of('greedy');
  for (let count = 0; count < 5_000; count++) {
    greedy.keepTask(`g${count}`, task(`g${count}`, { text: 'x'.repeat(2_000) }), 0);
    greedy.keepPage(`p${count}`, 250, false, { rows: [task(`g${count}`)], total: null }, 0);
  }
  for (const memory of others)
    for (let count = 0; count < 10; count++) assert.ok(memory.task(`t${count}`));
  assert.equal(greedy.task('g4999')?.id, 'g4999');
  greedy.close();
  assert.equal(greedy.task('g4999'), undefined);
  assert.equal(memories.size.entries, 100);
});

test('an answer larger than the whole memory is not kept, and evicts nothing', () => {
  const memories = createMemories({
    maxStalenessMs: 1_000,
    clock: new HandClock(),
    maxBytes: 10_000,
  });
  const memory = memories.of('a');
  memory.keepTask('small', task('small'), 0);
  memory.keepTask('large', task('large', { text: 'x'.repeat(20_000) }), 0);
  assert.equal(memory.task('large'), undefined);
  assert.equal(memory.task('small')?.id, 'small');
});

test('no credential is given an answer for another', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ unit: 'binary' }), { minLength: 2, maxLength: 2 }),
      fc.string(),
      fc.string(),
      ([one = '', other = ''], id, key) => {
        const memories = createMemories({ maxStalenessMs: 1_000, clock: new HandClock() });
        memories.of(one).keepTask(id, task('a'), 0);
        memories.of(one).keepPage(id, 250, false, { rows: [], total: null }, 0);
        assert.equal(memories.of(other).task(key), undefined);
        assert.equal(memories.of(other).page(key, 1, false), undefined);
      },
    ),
  );
});

test('an answer requested before a write is not kept after it', () => {
  const clock = new HandClock();
  const memories = createMemories({ maxStalenessMs: 1_000, clock });
  const requestedAt = clock.monotonic();
  clock.advance(10);
  memories.of('writer').invalidate('a');
  memories.of('reader').keepTask('a', task('a'), requestedAt);
  assert.equal(memories.of('reader').task('a'), undefined);
  clock.advance(10);
  memories.of('reader').keepTask('a', task('a'), clock.monotonic());
  assert.equal(memories.of('reader').task('a')?.id, 'a');
});

test('a slow answer does not replace one that was requested later', () => {
  const clock = new HandClock();
  const memory = createMemories({ maxStalenessMs: 1_000, clock }).of('a');
  memory.keepTask('t', task('newer'), 5);
  memory.keepTask('t', task('older'), 1);
  assert.equal(memory.task('t')?.id, 'newer');
});

test('a task that is found unchanged is as fresh as the answer that was requested last', () => {
  const clock = new HandClock();
  const memory = createMemories({ maxStalenessMs: 1_000, clock }).of('a');
  const [found, other] = [task('t'), task('t', { text: 'x' })];
  const startedAt = clock.monotonic();
  memory.keepTask('t', found, startedAt);
  clock.advance(900);
  memory.keepTask('t', found, clock.monotonic());
  memory.keepTask('t', found, startedAt);
  clock.advance(900);
  assert.equal(memory.task('t'), found);
  memory.keepTask('t', other, clock.monotonic());
  assert.equal(memory.task('t'), other);
  clock.advance(1_000);
  assert.equal(memory.task('t'), undefined);
});

test('a task that is found unchanged is not evicted before others', () => {
  const memory = createMemories({
    maxStalenessMs: 1_000,
    clock: new HandClock(),
    maxEntries: 50,
  }).of('a');
  const found = task('t');
  memory.keepTask('t', found, 0);
  for (let count = 0; count < 40; count++) memory.keepTask(`t${count}`, task(`t${count}`), 0);
  memory.keepTask('t', found, 1);
  for (let count = 40; count < 60; count++) memory.keepTask(`t${count}`, task(`t${count}`), 1);
  assert.equal(memory.task('t0'), undefined);
  assert.equal(memory.task('t'), found);
});
