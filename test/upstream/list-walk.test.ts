import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../../src/errors.ts';
import { readSlice } from '../../src/session/paging.ts';
import type { TaskOrder } from '../../src/task/filter.ts';
import { walkList } from '../../src/upstream/list-walk.ts';
import { type Row, UnreadableTask, readRow } from '../../src/upstream/wire.ts';

/** What happens to the list before one of the requests. */
type Event =
  | { kind: 'add'; count: number }
  | { kind: 'addLate'; count: number }
  | { kind: 'endOldest' | 'endNewest'; count: number }
  | { kind: 'endSome'; every: number }
  | { kind: 'nothing' };

const anyEvent: fc.Arbitrary<Event> = fc.oneof(
  fc.constant<Event>({ kind: 'nothing' }),
  fc.record({
    kind: fc.constantFrom('add' as const, 'addLate' as const),
    count: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 700 })),
  }),
  fc.record({
    kind: fc.constantFrom('endOldest' as const, 'endNewest' as const),
    count: fc.oneof(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 400 })),
  }),
  fc.record({ kind: fc.constant('endSome' as const), every: fc.integer({ min: 2, max: 9 }) }),
);

interface ModelOptions {
  size: number;
  /** How many tasks share a millisecond. */
  perMillisecond: number;
  /** Whether tasks of one millisecond come in another order each time. */
  shufflesTies: boolean;
  /** Each so many-th row is given twice in a page; 0: none. */
  repeatsEvery: number;
  unreadableEvery: number;
  order: TaskOrder | null;
  events: Event[];
}

const anyOptions = (orders: (TaskOrder | null)[]): fc.Arbitrary<ModelOptions> =>
  fc.record({
    size: fc.oneof(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 0, max: 900 })),
    perMillisecond: fc.constantFrom(1, 1, 3, 8),
    shufflesTies: fc.boolean(),
    repeatsEvery: fc.constantFrom(0, 0, 7),
    unreadableEvery: fc.constantFrom(0, 0, 5),
    order: fc.constantFrom(...orders),
    events: fc.array(anyEvent, { maxLength: 8 }),
  });

/** A list that changes before each request for a page of it. */
class ChangingList {
  readonly requests: string[] = [];
  readonly #options: ModelOptions;
  readonly #ended = new Set<string>();
  #rows: { id: string; created: number; row: Row }[] = [];
  #events: Event[];
  #made = 0;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.#events = options.events;
    for (let count = 0; count < options.size; count++) this.#add(1_000 + this.#made);
  }

  /** Readable tasks that have been on the list all the time. */
  get lasting(): string[] {
    return this.#rows
      .filter(({ id, row }) => Number(id) < this.#options.size && !(row instanceof UnreadableTask))
      .map(({ id }) => id);
  }

  /** The list changes after each request, as long as there are events left. */
  fetchPage(offset: number, limit: number): Row[] {
    const [event, ...others] = this.#events;
    this.#events = others;
    if (event && this.requests.length > 0) this.#apply(event);
    this.requests.push(`${offset}+${limit}`);
    return this.#sorted().slice(offset, offset + limit);
  }

  #sorted(): Row[] {
    const { order, shufflesTies, repeatsEvery } = this.#options;
    const salt = shufflesTies ? this.requests.length * 7_919 : 0;
    const rank = ({ id }: { id: string }) =>
      (Math.imul(Number(id) + 1, 2_654_435_761 + salt) >>> 0) % 1_009;
    const sign = order === 'CREATED_ASC' ? 1 : -1;
    const compare =
      order === null
        ? (a: { id: string }, b: { id: string }) => rankOf(a.id) - rankOf(b.id)
        : (a: { id: string; created: number }, b: { id: string; created: number }) =>
            sign * (a.created - b.created) || rank(a) - rank(b) || Number(a.id) - Number(b.id);
    return this.#rows
      .toSorted(compare)
      .flatMap(({ row }, place) =>
        repeatsEvery > 0 && place % repeatsEvery === 0 ? [row, row] : [row],
      );
  }

  #apply(event: Event): void {
    const byAge = this.#rows.toSorted((a, b) => a.created - b.created);
    if (event.kind === 'add' || event.kind === 'addLate') {
      const late = event.kind === 'addLate' ? Math.floor(this.#options.size / 2) : 0;
      for (let count = 0; count < event.count; count++) this.#add(1_000 + this.#made - late);
    } else if (event.kind === 'endOldest') this.#end(byAge.slice(0, event.count));
    else if (event.kind === 'endNewest') this.#end(byAge.slice(-event.count));
    else if (event.kind === 'endSome')
      this.#end(byAge.filter((_, place) => place % event.every === 0));
  }

  #add(at: number): void {
    const { perMillisecond, unreadableEvery } = this.#options;
    const id = String(this.#made++);
    const created = Math.floor(at / perMillisecond);
    const row =
      unreadableEvery > 0 && this.#made % unreadableEvery === 0
        ? new UnreadableTask(
            this.#made % 2 === 0 ? id : null,
            new GatewayError('UPSTREAM_INVALID_RESPONSE', 'x'),
          )
        : readRow({ id, type: 'QUARTZ', uniqueName: 'n', created, percentComplete: 0 });
    this.#rows.push({ id, created, row });
  }

  #end(rows: readonly { id: string }[]): void {
    for (const { id } of rows) this.#ended.add(id);
    this.#rows = this.#rows.filter(({ id }) => !this.#ended.has(id));
  }
}

// An order that has nothing to do with time, but stays.
function rankOf(id: string): number {
  return Math.imul(Number(id) + 1, 2_654_435_761) >>> 0;
}

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
        const lists = {
          fits: () => true,
          page: async ({ offset = 0, limit = 250 }) => ({
            rows: list.fetchPage(offset, limit),
            total: null,
          }),
        };
        const given: { id: string; created: number }[] = [];
        for (let after: string | null = null, pages = 0; ; pages++) {
          assert.ok(pages < 3_000, 'paging ends');
          const slice = await readSlice(
            lists,
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
    const lists = {
      fits: () => true,
      page: async ({ offset = 0, limit = 250 }) => ({
        rows: list.fetchPage(offset, limit),
        total: null,
      }),
    };
    const request = {
      filter: {},
      order: 'CREATED_DESC',
      first: 10,
      selected: { tasks: true, hasNextPage: true, totalCount: false },
    } as const;
    const one = await readSlice(lists, { ...request, after: null }, {});
    const two = await readSlice(lists, { ...request, after: one.entries.at(-1)!.cursor }, {});
    assert.deepEqual(
      two.entries.map(({ task }) => task.id),
      Array.from({ length: 10 }, (_, place) => String(489 - place)),
    );
    assert.ok(list.requests.length <= 20, `${shift}: ${list.requests.join(' ')}`);
  }
});
