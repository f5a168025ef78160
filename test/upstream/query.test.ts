import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Expression, matches, parseFilter } from '../../src/sandbox/filter.ts';
import { VERSIONS } from '../../src/sandbox/versions.ts';
import type { TaskFilter } from '../../src/task/filter.ts';
import {
  MAX_VALUE_LENGTH,
  cutByUrl,
  toFilterExpression,
  toQueryString,
} from '../../src/upstream/query.ts';

const RULES = VERSIONS.find(({ version }) => version === 'v1')!;

/** Any text that has a UTF-8, and often the very characters that the grammar is made of. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: MAX_VALUE_LENGTH / 2 }),
  fc.string({
    unit: fc.constantFrom(
      '"',
      '\\',
      ' ',
      '(',
      ')',
      ',',
      'a',
      ' or ',
      ' eq ',
      'isnull',
      '%22',
      '\n',
      '\0',
      '+',
      '&',
      '#',
    ),
    maxLength: 24,
  }),
);
const values = fc.array(anyText, { minLength: 1, maxLength: 5 });
const anyFilter: fc.Arbitrary<TaskFilter> = fc.record(
  {
    ids: values,
    sourceIds: values,
    launchers: values,
    definitionTypes: fc.subarray([...RULES.definitionTypes], { minLength: 1 }),
    completionStatuses: fc.subarray(['SUCCESS', 'ERROR', 'TEMPERROR'] as const, { minLength: 1 }),
    completionStatusIsNull: fc.boolean(),
  },
  { requiredKeys: [] },
);

/** What the filter means, written by hand as the sandbox's parser would have it. */
function meaningOf({
  ids,
  sourceIds,
  launchers,
  definitionTypes,
  completionStatuses,
  completionStatusIsNull,
}: TaskFilter): Expression[] {
  const any = (field: string, given: readonly string[] | undefined): Expression[] =>
    given ? [{ kind: 'any', field, values: given.map(value => value.toLowerCase()) }] : [];
  const isNull: Expression = { kind: 'null', field: 'completionStatus' };
  return [
    ...any('id', ids),
    ...any('sourceId', sourceIds),
    ...any('type', definitionTypes),
    ...any('launcher', launchers),
    ...any('completionStatus', completionStatuses),
    ...(completionStatusIsNull === undefined
      ? []
      : [completionStatusIsNull ? isNull : ({ kind: 'not', term: isNull } as const)]),
  ];
}

test('no id or value can break out of its quotes or change the meaning of a filter', () => {
  fc.assert(
    fc.property(anyFilter, filter => {
      // The whole way: into a URL, and out of it as the sandbox takes it out.
      const received = new URL(`http://sandbox/?${toQueryString({ filter })}`).searchParams.get(
        'filters',
      );
      const meaning = meaningOf(filter);
      if (meaning.length === 0) return assert.equal(received, null);
      assert.ok(received !== null);
      const expected = meaning.length === 1 ? meaning[0] : { kind: 'and', terms: meaning };
      assert.deepEqual(parseFilter(received, RULES), expected);
    }),
    { numRuns: 2_000 },
  );
});

test('an id filter finds exactly the task with that id', () => {
  fc.assert(
    fc.property(anyText, anyText, (requested, other) => {
      const expression = parseFilter(toFilterExpression({ ids: [requested] }), RULES);
      assert.ok(matches(expression, () => requested));
      assert.equal(
        matches(expression, () => other),
        other.toLowerCase() === requested.toLowerCase(),
      );
    }),
    { numRuns: 1_000 },
  );
});

test('text without a UTF-8 encoding, or longer than any id, is rejected rather than changed', () => {
  for (const value of ['\ud800', 'a\udc00b', 'x'.repeat(MAX_VALUE_LENGTH + 1)])
    assert.throws(() => toFilterExpression({ ids: [value] }), { code: 'BAD_USER_INPUT' });
});

test('ids are split so that every request target fits, and none is lost', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(anyText, { maxLength: 300 }),
      fc.integer({ min: 4_000, max: 8_000 }),
      (ids, maxUrlBytes) => {
        const spare =
          '/task-status/v1?'.length +
          toQueryString({ filter: { ids: ['', ''] }, limit: 250 }).length;
        const cuts = cutByUrl(ids, maxUrlBytes, spare);
        assert.deepEqual(cuts.flat(), ids);
        for (const cut of cuts) {
          const target = `/task-status/v1?${toQueryString({ filter: { ids: cut }, limit: 250 })}`;
          assert.ok(Buffer.byteLength(target) <= maxUrlBytes, `${Buffer.byteLength(target)} bytes`);
          assert.ok(cut.length <= 250);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('250 ids of 32 digits take three requests at the default URL length', () => {
  const ids = Array.from({ length: 250 }, (_, place) => place.toString(16).padStart(32, '0'));
  assert.equal(cutByUrl(ids, 4_000, 100).length, 3);
});
