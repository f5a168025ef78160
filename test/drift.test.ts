import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDrift } from '../src/drift.ts';

function start() {
  const lines: Record<string, unknown>[] = [];
  const warn = (line: Record<string, unknown>) => void lines.push(line);
  return { lines, drift: createDrift({ warn }) };
}

test('a field that deviates from the specification is counted each time and logged once', () => {
  const { lines, drift } = start();
  for (let count = 0; count < 3; count++) drift.record('percentComplete', 'null');
  drift.record('percentComplete', 'string');
  assert.deepEqual(drift.counts(), [
    { field: 'percentComplete', found: 'null', count: 3 },
    { field: 'percentComplete', found: 'string', count: 1 },
  ]);
  assert.deepEqual(lines, [
    { field: 'percentComplete', found: 'null' },
    { field: 'percentComplete', found: 'string' },
  ]);
});

test('each new enum value that is a word is logged once, up to a limit', () => {
  const { lines, drift } = start();
  for (const value of ['WORKFLOW', 'WORKFLOW', 'BATCH', 'a secret:\n"hunter2"'])
    drift.record('type', 'unknown value', value);
  assert.deepEqual(
    lines.map(({ value }) => value),
    ['WORKFLOW', 'BATCH', '(not a word)'],
  );
  for (let count = 0; count < 1_000; count++) drift.record('type', 'unknown value', `T${count}`);
  assert.equal(lines.length, 100);
  assert.deepEqual(drift.counts(), [{ field: 'type', found: 'unknown value', count: 1_004 }]);
});
