import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readRetryAfter } from '../../src/upstream/retry-after.ts';

const NOW = Date.UTC(2026, 10, 25, 12);
const inSeconds = (seconds: number) => new Date(NOW + seconds * 1_000);

const CASES: [header: string | null, seconds: number | null][] = [
  ['3', 3],
  ['1.5', 2],
  ['0.2', 1],
  ['  7 ', 7],
  ['3600', 3_600],
  ['1000000000000', 3_600],
  ['9'.repeat(400), 3_600],
  [inSeconds(90).toUTCString(), 90],
  [` ${inSeconds(90).toUTCString()} `, 90],
  [inSeconds(90).toISOString(), 90],
  [inSeconds(1e9).toUTCString(), 3_600],
  [inSeconds(-90).toUTCString(), null],
  ['-1', null],
  ['0', null],
  ['', null],
  [null, null],
  ['soon', null],
  ['soon 5', null],
  ['5 apples', null],
  ['1e9', null],
  ['0x10', null],
  ['Infinity', null],
  ['NaN', null],
  ['1,2', null],
];

for (const [header, seconds] of CASES)
  test(`Retry-After: ${header === null ? 'none' : JSON.stringify(header.slice(0, 40))} is ${seconds ?? 'nothing to go by'}`, () => {
    assert.equal(readRetryAfter(header, NOW), seconds);
  });

test('any Retry-After is read as an integer from 1 to 3600, or ignored', () => {
  const anyHeader = fc.oneof(fc.string(), fc.double().map(String), fc.date().map(String));
  fc.assert(
    fc.property(anyHeader, header => {
      const seconds = readRetryAfter(header, NOW);
      assert.ok(
        seconds === null || (Number.isInteger(seconds) && seconds >= 1 && seconds <= 3_600),
      );
    }),
  );
});
