import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readSlice } from '../../src/session/paging.ts';
import { walkList } from '../../src/upstream/list-walk.ts';
import { UnreadableTask } from '../../src/upstream/wire.ts';
import { ChangingList, anyOptions } from '../support/changing-list.ts';

test('reading a whole list returns each lasting row once, however the list changes meanwhile', async () => {
  await fc.assert(
    fc.asyncProperty(anyOptions(['CREATED_ASC', 'CREATED_DESC', null]), async options => {
      const list = new ChangingList(options);
      const given: string[] = [];
      const walked = {
        order: options.order,
        fetchPage: async (offset: number, limit: number) => list.fetchPage(offset, limit),
      };
      for await (const rows of walkList(walked))
        for (const { row } of rows) if (!(row instanceof UnreadableTask)) given.push(row.id);
      assert.equal(new Set(given).size, given.length, 'nothing twice');
      const missed = list.lasting.filter(id => !given.includes(id));
      assert.deepEqual(missed, [], list.requests.join(' '));
    }),
    { numRuns: 300 },
  );
});

test('pages by cursor return each lasting task once and in order, and end only at the end of the list', async () => {
  await fc.assert(
    fc.asyncProperty(
      anyOptions(['CREATED_ASC', 'CREATED_DESC']),
      fc.constantFrom(1, 3, 10, 50, 100, 250),
      async (options, first) => {
        const list = new ChangingList({ ...options, size: Math.min(options.size, first * 40) });
        const order = options.order!;
        const parts = list.parts();
        const given: { id: string; created: number }[] = [];
        for (let after: string | null = null, pages = 0; ; pages++) {
          assert.ok(pages < 3_000, 'paging ends');
          const slice = await readSlice(
            parts,
            {
              filter: {},
              order,
              first,
              after,
              selected: { tasks: true, hasNextPage: true, totalCount: false },
            },
            {},
          );
          given.push(...slice.entries.map(({ task }) => task));
          if (!slice.hasNextPage) break;
          after = slice.entries.at(-1)?.cursor ?? null;
          assert.notEqual(after, null, 'a page with a next one has a cursor that leads there');
        }
        const ids = given.map(({ id }) => id);
        assert.equal(new Set(ids).size, ids.length, 'nothing twice');
        const missed = list.lasting.filter(id => !ids.includes(id));
        assert.deepEqual(missed, [], list.requests.join(' '));
        const created = given.map(task => task.created);
        const sign = order === 'CREATED_ASC' ? 1 : -1;
        assert.deepEqual(
          created,
          created.toSorted((a, b) => sign * (a - b)),
          'in order',
        );
      },
    ),
    { numRuns: 300 },
  );
});

test('after a list has shifted far, the position of a cursor is found again with a few requests', async () => {
  for (const shift of [300, 5_000, 60_000]) {
    const list = new ChangingList({
      size: 500,
      perMillisecond: 1,
      shufflesTies: false,
      repeatsEvery: 0,
      unreadableEvery: 0,
      order: 'CREATED_DESC',
      events: [{ kind: 'nothing' }, { kind: 'add', count: shift }],
    });
    const parts = list.parts();
    const request = {
      filter: {},
      order: 'CREATED_DESC',
      first: 10,
      selected: { tasks: true, hasNextPage: true, totalCount: false },
    } as const;
    const one = await readSlice(parts, { ...request, after: null }, {});
    const two = await readSlice(parts, { ...request, after: one.entries.at(-1)!.cursor }, {});
    assert.deepEqual(
      two.entries.map(({ task }) => task.id),
      Array.from({ length: 10 }, (_, place) => String(489 - place)),
    );
    assert.ok(list.requests.length <= 20, `${shift}: ${list.requests.join(' ')}`);
  }
});
