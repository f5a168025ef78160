import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readInstant } from '../../src/upstream/instant.ts';

const anyInstant = fc.integer({ min: Date.UTC(1975, 0), max: Date.UTC(2100, 0) });

/** `instant` in each form that is read to the millisecond, at an offset of so many minutes. */
function formsOf(instant: number, offset: number): unknown[] {
  const local = new Date(instant + offset * 60_000).toISOString().slice(0, -1);
  const sign = offset < 0 ? '-' : '+';
  const [hours, minutes] = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60].map(part =>
    String(part).padStart(2, '0'),
  );
  const utc = new Date(instant).toISOString();
  return [
    instant,
    String(instant),
    utc,
    utc.toLowerCase(),
    utc.replace('T', ' '),
    `${utc}[UTC]`,
    utc.replace('Z', '999999Z'),
    utc.replace('Z', ''),
    `${local}${sign}${hours}:${minutes}`,
    `${local}${sign}${hours}${minutes}`,
    `${local.replace('T', ' ')} ${sign}${hours}:${minutes}[Europe/Berlin]`,
  ];
}

test('a date is read from every format that services write', () => {
  fc.assert(
    fc.property(anyInstant, fc.integer({ min: -14 * 60, max: 14 * 60 }), (instant, offset) => {
      for (const form of formsOf(instant, offset))
        assert.equal(readInstant(form), instant, String(form));
    }),
  );
});

test('a date is read to the second from formats without a fraction', () => {
  fc.assert(
    fc.property(anyInstant, instant => {
      const second = Math.floor(instant / 1_000) * 1_000;
      const date = new Date(second);
      for (const form of [
        second / 1_000,
        String(second / 1_000),
        date.toUTCString(),
        date.toISOString().replace('.000', ''),
      ])
        assert.equal(readInstant(form), second, String(form));
    }),
  );
});

test('a day that does not exist in its month is not a date, in any format', () => {
  for (const day of [
    '2026-02-29',
    '2026-02-31',
    '2026-04-31',
    '2026-00-10',
    '2026-13-01',
    '2026-01-00',
  ])
    for (const rest of ['', 'T00:00:00.000Z', 'T00:00:00Z', ' 00:00:00+00:00'])
      assert.equal(readInstant(`${day}${rest}`), null, `${day}${rest}`);
  assert.equal(readInstant('31 Feb 2026 00:00:00 GMT'), null);
  assert.equal(readInstant('2024-02-29'), Date.UTC(2024, 1, 29));
});

test('no text makes the reader throw or return a date that RFC 3339 cannot express', () => {
  const anyText = fc.oneof(fc.string(), fc.stringMatching(/^[\d:.+\-TZ [\]]{0,30}$/));
  fc.assert(
    fc.property(fc.oneof(anyText, fc.double(), fc.jsonValue()), value => {
      const instant = readInstant(value);
      if (instant !== null) assert.match(new Date(instant).toISOString(), /^\d{4}-.*Z$/);
    }),
    { numRuns: 2_000 },
  );
});
