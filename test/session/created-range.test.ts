import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readSlice } from '../../src/session/paging.ts';
import { countTasks } from '../../src/session/task-count.ts';
import { type CreatedRange, isWithin } from '../../src/task/filter.ts';
import {
  ChangingList,
  FIRST_CREATED,
  type ModelOptions,
  anyOptions,
} from '../support/changing-list.ts';

const SELECTED = { tasks: true, hasNextPage: true, totalCount: false };

/** Ranges of which one or both bounds are inside the list, before or after it. */
const anyRange = ({ size, perMillisecond }: ModelOptions): fc.Arbitrary<CreatedRange> => {
  const date = fc
    .integer({ min: -10, max: 10 + size })
    .map(made => FIRST_CREATED + Math.floor(made / perMillisecond));
  return fc.tuple(date, date, fc.constantFrom('gte', 'lt', 'both')).map(([one, other, bounds]) => {
    const gte = Math.min(one, other);
    const lt = Math.max(one, other) + 1;
    if (bounds === 'both') return { gte, lt };
    return bounds === 'gte' ? { gte } : { lt };
  });
};

const anyRangeOf = (options: fc.Arbitrary<ModelOptions>) =>
  options.chain(one => fc.tuple(fc.constant(one), anyRange(one)));

// Rows end such that an unreadable one takes the place of the last before the bound.
const UNREADABLE_AT_BOUND: ModelOptions = {
  size: 267,
  perMillisecond: 1,
  shufflesTies: false,
  repeatsEvery: 0,
  unreadableEvery: 5,
  order: 'CREATED_ASC',
  events: [
    { kind: 'endSome', every: 2 },
    { kind: 'add', count: 19 },
    { kind: 'add', count: 80 },
    { kind: 'endSome', every: 8 },
    { kind: 'endOldest', count: 102 },
  ],
};

const anyNow = fc.constantFrom(0, FIRST_CREATED + 400, FIRST_CREATED + 1_000_000);

test('pages of a range return each lasting task of it once and in order, however the list changes meanwhile', async () => {
  await fc.assert(
    fc.asyncProperty(
      anyRangeOf(anyOptions(['CREATED_ASC', 'CREATED_DESC'])),
      fc.constantFrom(1, 3, 10, 50, 250),
      fc.boolean(),
      anyNow,
      async ([options, created], first, counts, now) => {
        const size = Math.min(options.size, first * 40);
        const list = new ChangingList({ ...options, size, counts });
        const order = options.order!;
        const parts = list.parts(now);
        const given: { id: string; created: number }[] = [];
        for (let after: string | null = null, pages = 0; ; pages++) {
          assert.ok(pages < 3_000, 'paging ends');
          const request = { filter: { created }, order, first, after, selected: SELECTED };
          const slice = await readSlice(parts, request, {});
          given.push(...slice.entries.map(({ task }) => task));
          if (!slice.hasNextPage) break;
          after = slice.entries.at(-1)?.cursor ?? null;
        }
        const ids = given.map(({ id }) => id);
        assert.equal(new Set(ids).size, ids.length, 'nothing twice');
        assert.deepEqual(
          given.filter(task => !isWithin(created, task.created)),
          [],
          'nothing outside',
        );
        const createdOf = new Map(list.tasks.map(task => [task.id, task.created]));
        const missed = list.lasting.filter(
          id => isWithin(created, createdOf.get(id) ?? NaN) && !ids.includes(id),
        );
        assert.deepEqual(missed, [], list.requests.join(' '));
        const dates = given.map(task => task.created);
        const sign = order === 'CREATED_ASC' ? 1 : -1;
        assert.deepEqual(
          dates,
          dates.toSorted((a, b) => sign * (a - b)),
          'in order',
        );
      },
    ),
    {
      numRuns: 300,
      examples: [
        [[UNREADABLE_AT_BOUND, { gte: FIRST_CREATED + 217 }], 50, true, FIRST_CREATED + 1_000_000],
      ],
    },
  );
});

// Rows that are repeated or cannot be read have no place of their own.
const anyCountable = anyOptions(['CREATED_ASC']).filter(
  ({ repeatsEvery, unreadableEvery }) => repeatsEvery + unreadableEvery === 0,
);

test('once a list is still, its count is right, whatever was known of it before', async () => {
  await fc.assert(
    fc.asyncProperty(
      anyRangeOf(anyCountable),
      fc.array(fc.integer({ min: -10, max: 1_600 }), { minLength: 8, maxLength: 8 }),
      anyNow,
      async ([options, created], dates, now) => {
        const list = new ChangingList(options);
        const parts = list.parts(now);
        for (const made of dates)
          await countTasks(parts, { created: { gte: FIRST_CREATED + made } }, {}).catch(() => null);
        while (list.isChanging) list.fetchPage(0, 1);
        const count = await countTasks(parts, { created }, {});
        const expected = list.tasks.filter(task => isWithin(created, task.created)).length;
        assert.equal(count, expected, list.requests.join(' '));
      },
    ),
    { numRuns: 300 },
  );
});

test('while tasks are added, a count is one that was right during the read', async () => {
  const onlyAdds = anyCountable.filter(({ events }) => events.every(({ kind }) => kind === 'add'));
  await fc.assert(
    fc.asyncProperty(anyRangeOf(onlyAdds), anyNow, async ([options, created], now) => {
      const list = new ChangingList(options);
      const countNow = () => list.tasks.filter(task => isWithin(created, task.created)).length;
      const least = countNow();
      const count = await countTasks(list.parts(now), { created }, {});
      assert.ok(count !== null && least <= count && count <= countNow(), list.requests.join(' '));
    }),
    { numRuns: 300 },
  );
});
