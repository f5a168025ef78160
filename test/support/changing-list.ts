import fc from 'fast-check';
import { GatewayError } from '../../src/errors.ts';
import { createBoundSearch } from '../../src/session/bound-search.ts';
import type { SliceParts } from '../../src/session/paging.ts';
import type { TaskOrder } from '../../src/task/filter.ts';
import type { Instant, Task } from '../../src/task/task.ts';
import { type Row, UnreadableTask, readRow } from '../../src/upstream/wire.ts';

/** When the first task of a list was created. Smaller numbers might be read as seconds. */
export const FIRST_CREATED = Date.UTC(2026, 0, 1);

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

export interface ModelOptions {
  size: number;
  /** How many tasks share a millisecond. */
  perMillisecond: number;
  /** Whether tasks of one millisecond come in another order each time. */
  shufflesTies: boolean;
  /** Each so many-th row is given twice in a page; 0: none. */
  repeatsEvery: number;
  unreadableEvery: number;
  order: TaskOrder | null;
  /** False: pages have no total. */
  counts?: boolean;
  events: Event[];
}

/** Lists of any of these orders, and what happens to them. */
export const anyOptions = (orders: (TaskOrder | null)[]): fc.Arbitrary<ModelOptions> =>
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
export class ChangingList {
  readonly requests: string[] = [];
  readonly #options: ModelOptions;
  readonly #ended = new Set<string>();
  #rows: { id: string; created: number; row: Row }[] = [];
  #events: Event[];
  #made = 0;

  constructor(options: ModelOptions) {
    this.#options = options;
    this.#events = options.events;
    for (let count = 0; count < options.size; count++) this.#add(this.#made);
  }

  /** Readable tasks that have been on the list all the time. */
  get lasting(): string[] {
    return this.#rows
      .filter(({ id, row }) => Number(id) < this.#options.size && !(row instanceof UnreadableTask))
      .map(({ id }) => id);
  }

  /** Whether there are events left. */
  get isChanging(): boolean {
    return this.#events.length > 0;
  }

  /** The readable tasks that are on the list now. */
  get tasks(): Task[] {
    return this.#rows.flatMap(({ row }) => (row instanceof UnreadableTask ? [] : [row]));
  }

  /** What the pages of a credential are read with, over this list alone. */
  parts(now: Instant = 0): SliceParts {
    const clock = { now: () => now };
    return {
      clock,
      bounds: createBoundSearch(clock),
      lists: {
        fits: () => true,
        page: async ({ offset = 0, limit = 250, order = null, count = false }) => {
          const rows = this.fetchPage(offset, limit, order);
          return {
            rows,
            total: count && this.#options.counts !== false ? this.#rows.length : null,
          };
        },
      },
    };
  }

  /** The list changes after each request, as long as there are events left. */
  fetchPage(offset: number, limit: number, order = this.#options.order): Row[] {
    const [event, ...others] = this.#events;
    this.#events = others;
    if (event && this.requests.length > 0) this.#apply(event);
    this.requests.push(`${offset}+${limit}`);
    return this.#sorted(order).slice(offset, offset + limit);
  }

  #sorted(order: TaskOrder | null): Row[] {
    const { shufflesTies, repeatsEvery } = this.#options;
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
      for (let count = 0; count < event.count; count++) this.#add(this.#made - late);
    } else if (event.kind === 'endOldest') this.#end(byAge.slice(0, event.count));
    else if (event.kind === 'endNewest') this.#end(byAge.slice(-event.count));
    else if (event.kind === 'endSome')
      this.#end(byAge.filter((_, place) => place % event.every === 0));
  }

  #add(at: number): void {
    const { perMillisecond, unreadableEvery } = this.#options;
    const id = String(this.#made++);
    const created = FIRST_CREATED + Math.floor(at / perMillisecond);
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
