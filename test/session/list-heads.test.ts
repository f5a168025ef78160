import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { systemClock } from '../../src/clock.ts';
import { GatewayError } from '../../src/errors.ts';
import type { HeadRequest } from '../../src/progress/source.ts';
import { createListHeads } from '../../src/session/list-heads.ts';
import type { Task } from '../../src/task/task.ts';
import type { TaskQuery } from '../../src/upstream/query.ts';
import { readRow } from '../../src/upstream/wire.ts';
import { EPOCH } from '../support/hand-clock.ts';

interface Spec {
  source: number | null;
  created: number;
}

const NEVER: (sources: number) => boolean = () => false;

/** Upstream's list of these tasks. `refuses` selects joined requests that it rejects. */
function setUp(specs: readonly Spec[], { maxSources = 80, refuses = NEVER } = {}) {
  const requests: TaskQuery[] = [];
  const tasks = specs
    .map(
      ({ source, created }, place) =>
        readRow({
          id: `t${place}`,
          type: 'QUARTZ',
          uniqueName: 'n',
          created: EPOCH + created,
          percentComplete: 0,
          // Upstream knows the source of a task without a target, and only upstream does.
          target: source === null ? null : { id: `s${source}`, type: 'APPLICATION', name: 'n' },
        }) as Task,
    )
    .toSorted((a, b) => b.created - a.created);
  const ownerOf = (task: Task) => task.target?.id ?? 's0';
  const api = {
    fits: ({ filter }: TaskQuery) => (filter?.sourceIds?.length ?? 0) <= maxSources,
    unlisted: async () => [],
    async list(query: TaskQuery) {
      requests.push(query);
      const { filter, offset = 0, limit = 250 } = query;
      if (refuses(filter?.sourceIds?.length ?? 0)) throw new GatewayError('BAD_USER_INPUT', 'no');
      const found = tasks.filter(task => filter?.sourceIds?.includes(ownerOf(task)) ?? true);
      return { rows: found.slice(offset, offset + limit), total: null };
    },
  };
  return { heads: createListHeads(api, systemClock), requests };
}

const idsOf = async (head: Promise<{ rows: readonly (Task | GatewayError)[] }>) =>
  (await head).rows.map(row => (row instanceof GatewayError ? row.code : row.id));

test('heads that are read together equal those read one by one', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          source: fc.oneof(
            { weight: 20, arbitrary: fc.integer({ min: 0, max: 6 }) },
            fc.constant(null),
          ),
          created: fc.integer({ min: 0, max: 5_000 }),
        }),
        { maxLength: 300 },
      ),
      fc.array(
        fc.record({
          sources: fc.uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 3 }),
          since: fc.option(fc.integer({ min: 0, max: 5_000 })),
        }),
        { minLength: 1, maxLength: 8 },
      ),
      fc.integer({ min: 1, max: 8 }),
      fc.constantFrom(0, 2, 5),
      async (specs, lists, maxSources, refusedFrom) => {
        const requests = lists.map(({ sources, since }): HeadRequest => ({
          filter: { sourceIds: sources.map(source => `s${source}`) },
          since,
        }));
        const options = {
          maxSources: Math.max(3, maxSources),
          refuses: (count: number) => refusedFrom > 0 && count > Math.max(3, refusedFrom),
        };
        const together = setUp(specs, options).heads.readAll(requests, {});
        const { heads } = setUp(specs, options);
        for (const [place, head] of together.entries()) {
          const { since } = requests[place]!;
          const one = await idsOf(heads.read(requests[place]!, {}));
          const all = await idsOf(head);
          // Together, a list may be read further back than it asks for, never less far.
          const recent = new Set(one);
          assert.deepEqual(
            all.filter(id => recent.has(id)),
            one,
            `since ${since}`,
          );
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('the heads of two hundred sources cost three requests', async () => {
  const specs = Array.from({ length: 400 }, (_, place) => ({
    source: place % 200,
    created: place,
  }));
  const { heads, requests } = setUp(specs);
  const lists = Array.from({ length: 200 }, (_, source) => ({
    filter: { sourceIds: [`s${source}`] },
    since: EPOCH + 390,
  }));
  await Promise.all(heads.readAll(lists, {}));
  assert.equal(requests.length, 3);
});

test('a failed joined request fails each of its lists, and no other', async () => {
  const { heads } = setUp([{ source: 1, created: 1 }], {
    refuses: count => {
      if (count > 1) throw new GatewayError('UPSTREAM_UNAVAILABLE', 'down');
      return false;
    },
  });
  const results = await Promise.allSettled(
    heads.readAll(
      [
        { filter: { sourceIds: ['s1'] }, since: EPOCH },
        { filter: { sourceIds: ['s2'] }, since: EPOCH },
        { filter: { launchers: ['ada'] }, since: EPOCH },
      ],
      {},
    ),
  );
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected', 'fulfilled'],
  );
});
