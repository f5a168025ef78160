import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { GatewayError } from '../../src/errors.ts';
import { createJoinedCounts } from '../../src/session/joined-counts.ts';
import type { TaskPage } from '../../src/upstream/endpoints.ts';
import { type TaskQuery, toQueryString } from '../../src/upstream/query.ts';
import { readRow } from '../../src/upstream/wire.ts';
import { EPOCH } from '../support/hand-clock.ts';

/** Lists of 20 tasks each. Upstream refuses to count those of the source `uncounted`. */
function setUp() {
  const sent: TaskQuery[] = [];
  const lists = createJoinedCounts({
    fits: () => true,
    invalidate: () => {},
    async page(query, { signal } = {}) {
      signal?.throwIfAborted();
      sent.push(query);
      return answerOf(query);
    },
  });
  return { lists, sent };
}

function answerOf({ filter, order, offset = 0, limit = 250, count = false }: TaskQuery): TaskPage {
  const [source = 'all'] = filter?.sourceIds ?? [];
  if (count && source === 'uncounted')
    throw new GatewayError('BAD_USER_INPUT', 'This list cannot be counted.');
  const rows = Array.from({ length: 20 }, (_, place) =>
    readRow({ id: `${source}-${order}-${place}`, created: EPOCH + place }),
  );
  return { rows: rows.slice(offset, offset + limit), total: count ? 20 : null };
}

/** The rows, and the total where it was requested. A page may carry a total that was not. */
function outcomeOf({ count, limit }: TaskQuery, result: PromiseSettledResult<TaskPage>) {
  if (result.status === 'rejected') return (result.reason as Error).message;
  const rows = limit === 0 ? [] : result.value.rows.map(row => row.id);
  return { rows, total: count ? result.value.total : null };
}

const SOURCES = [undefined, 'one', 'uncounted'] as const;

const request = fc
  .record({
    source: fc.constantFrom(...SOURCES),
    order: fc.constantFrom('CREATED_ASC' as const, 'CREATED_DESC' as const),
    offset: fc.constantFrom(0, 5),
    limit: fc.constantFrom(3, 7),
    only: fc.constantFrom('rows', 'count', 'both'),
    isFresh: fc.boolean(),
    leaves: fc.boolean(),
  })
  .map(({ source, order, offset, limit, only, isFresh, leaves }) => {
    const filter = source === undefined ? {} : { sourceIds: [source] };
    const query: TaskQuery =
      only === 'count'
        ? { filter, order, limit: 0, count: true }
        : { filter, order, offset, limit, count: only === 'both' };
    return { query, isFresh, leaves };
  });

test('each joined request is answered as if it were alone, and a list that is read is counted with a page', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(request, { maxLength: 12 }), async requests => {
      const { lists, sent } = setUp();
      const answers = await Promise.allSettled(
        requests.map(({ query, isFresh, leaves }) => {
          const controller = new AbortController();
          const answer = lists.page(query, { isFresh, signal: controller.signal });
          if (leaves) controller.abort();
          return answer;
        }),
      );
      const stay = requests.filter(({ leaves }) => !leaves);
      for (const [place, { query, leaves }] of requests.entries()) {
        const answer = answers[place]!;
        const [alone] = await Promise.allSettled([(async () => answerOf(query))()]);
        if (leaves) assert.equal(answer.status, 'rejected');
        else assert.deepEqual(outcomeOf(query, answer), outcomeOf(query, alone));
      }

      for (const source of SOURCES) {
        // A refused count is tried again without the page.
        if (source === 'uncounted') continue;
        const isOfList = ({ filter }: TaskQuery) => filter?.sourceIds?.[0] === source;
        const asked = stay.filter(({ query }) => isOfList(query));
        const alone = new Set(asked.map(({ query, isFresh }) => toQueryString(query) + isFresh));
        assert.ok(sent.filter(isOfList).length <= alone.size);
        const isCount = ({ limit }: TaskQuery) => limit === 0;
        const lonely = [true, false].filter(isFresh => {
          const queries = asked.filter(request => request.isFresh === isFresh).map(r => r.query);
          return queries.length > 0 && queries.every(isCount);
        });
        assert.equal(sent.filter(isOfList).filter(isCount).length, lonely.length);
      }
    }),
    { numRuns: 300 },
  );
});
