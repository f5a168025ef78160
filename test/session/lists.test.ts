import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLists } from '../../src/session/lists.ts';
import { createMemories } from '../../src/session/memory.ts';
import type { TaskPage } from '../../src/upstream/endpoints.ts';
import type { TaskQuery } from '../../src/upstream/query.ts';
import { HandClock } from '../support/hand-clock.ts';

test('a page is answered by any request under way that holds it', async () => {
  const clock = new HandClock();
  const sent: TaskQuery[] = [];
  const answers: ((page: TaskPage) => void)[] = [];
  const lists = createLists({
    api: {
      fits: () => true,
      list(query) {
        sent.push(query);
        return new Promise(resolve => answers.push(resolve));
      },
    },
    memory: createMemories({ maxStalenessMs: 0, clock }).of('a'),
    clock,
  });
  const order = 'CREATED_DESC' as const;
  const large = { order, limit: 250 };
  const counted = { order, limit: 11, count: true };
  const small = { order, limit: 5 };
  const pages = [large, counted, large, counted, small].map(query => lists.page(query));
  assert.deepEqual(sent, [large, counted]);
  for (const answer of answers) answer({ rows: [], total: 0 });
  const totals = (await Promise.all(pages)).map(({ total }) => total);
  assert.deepEqual([totals[1], totals[3], totals[4]], [0, 0, null]);
  void lists.page(large);
  assert.equal(sent.length, 3);
});
