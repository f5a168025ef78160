import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { sliceArray } from '../../src/upstream/json-slices.ts';
import { createRowReader } from '../../src/upstream/row-reader.ts';
import { UnreadableTask } from '../../src/upstream/wire.ts';

const ROW = { id: 'a', type: 'QUARTZ', uniqueName: 'n', created: 1, percentComplete: 0 };

const bytesOf = (json: unknown) => Buffer.from(JSON.stringify(json));

test('exactly the elements of an array of objects and arrays are found', () => {
  const anyElement = fc.oneof(
    fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue()),
    fc.array(fc.jsonValue()),
  );
  fc.assert(
    fc.property(fc.array(anyElement), fc.constantFrom(0, 1, 4), (elements, indent) => {
      const bytes = Buffer.from(` ${JSON.stringify(elements, null, indent)}\n`);
      const found = sliceArray(bytes)?.map(({ start, end }) =>
        JSON.parse(bytes.subarray(start, end).toString()),
      );
      assert.deepEqual(found, JSON.parse(JSON.stringify(elements)));
    }),
    { numRuns: 500 },
  );
});

test('bytes that are not an array of objects give no elements', () => {
  fc.assert(
    fc.property(
      fc.array(fc.dictionary(fc.string(), fc.jsonValue()), { maxLength: 4 }),
      fc.nat(),
      fc.constantFrom('cut', 'insert', 'drop'),
      fc.constantFrom('[', ']', '{', '}', '"', ',', ':', '\\', ' ', 'x', '1'),
      (elements, at, kind, character) => {
        const text = JSON.stringify(elements);
        const place = at % (text.length + 1);
        const broken = {
          cut: text.slice(0, place),
          insert: text.slice(0, place) + character + text.slice(place),
          drop: text.slice(0, place) + text.slice(place + 1),
        }[kind];
        const bytes = Buffer.from(broken);
        let whole: unknown;
        try {
          whole = JSON.parse(broken);
        } catch {
          whole = undefined;
        }
        const slices = sliceArray(bytes);
        if (whole === undefined) {
          if (slices === null) return;
          // Broken inside an element: parsing that element must say so.
          assert.throws(() =>
            slices.forEach(({ start, end }) => JSON.parse(bytes.subarray(start, end).toString())),
          );
        } else if (slices !== null) {
          assert.deepEqual(
            slices.map(({ start, end }) => JSON.parse(bytes.subarray(start, end).toString())),
            whole,
          );
        }
      },
    ),
    { numRuns: 2_000 },
  );
});

test('rows with the same bytes are the same task, and others are not', () => {
  const reader = createRowReader();
  const body = bytesOf([ROW, { ...ROW, id: 'b' }]);
  const first = reader.rows(body);
  const second = reader.rows(Buffer.from(body));
  assert.equal(second[0], first[0]);
  assert.equal(second[1], first[1]);
  const [changed] = reader.rows(bytesOf([{ ...ROW, percentComplete: 1 }]));
  assert.ok(changed && !(changed instanceof UnreadableTask));
  assert.notEqual(changed, first[0]);
  assert.equal(changed.percentComplete, 1);
  assert.equal(reader.row(bytesOf(ROW)), first[0]);
});

test('a row nested too deeply is read without its deepest values, and affects no other row', () => {
  const text = `[${JSON.stringify(ROW).slice(0, -1)},"attributes":${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}},{"id":"b","created":1,"type":"QUARTZ","uniqueName":"n","percentComplete":0}]`;
  const rows = createRowReader().rows(Buffer.from(text));
  assert.deepEqual(
    rows.map(({ id }) => id),
    ['a', 'b'],
  );
  const [row] = rows;
  assert.ok(row && !(row instanceof UnreadableTask));
  assert.ok(JSON.stringify(row.attributes).length < 600);
});
