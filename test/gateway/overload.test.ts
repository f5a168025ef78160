import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import { startGateway } from '../support/start.ts';
import { subscribe } from '../support/subscribe.ts';
import { until } from '../support/until.ts';

const LIST =
  'query ($launcher: String!) { taskStatuses(first: 1, filter: { launcher: { eq: $launcher } }) { nodes { id } } }';
const PROGRESS = 'subscription ($id: ID!) { taskProgress(id: $id) { id state } }';
const CHANGED =
  'subscription ($source: ID!) { taskStatusChanged(filter: { sourceId: { eq: $source } }, snapshot: true) { taskStatus { id state } } }';

test('while readers request far more than upstream allows, subscriptions get every change, and every refusal has a time to retry', async t => {
  const rate = { limit: 20, windowMs: 1_000 };
  const { sandbox, tenant, query, url } = await startGateway(t, {
    sandbox: { rateLimit: rate.limit, rateWindowMs: rate.windowMs },
    env: {
      UPSTREAM_RATE_LIMIT: String(rate.limit),
      UPSTREAM_RATE_WINDOW_MS: String(rate.windowMs),
      OPERATION_TIMEOUT_MS: '3000',
      PROGRESS_INTERVAL_MS: '100',
    },
  });
  const [source] = tenant.sources;
  const tasks = tenant.addTasks(30, { queueMs: 0, runMs: 86_400_000, target: source });
  const states = new Map<string, string>();
  const failures: unknown[] = [];
  const follow = async (events: AsyncIterable<any>, field: string) => {
    for await (const { data, errors } of events) {
      if (errors) failures.push(errors);
      const { id, state } = data?.[field].taskStatus ?? data?.[field] ?? {};
      states.set(`${field} ${id}`, state);
    }
  };
  const followed = tasks.map(id =>
    follow(subscribe(t, 'ws', url, PROGRESS, { id }), 'taskProgress'),
  );
  const changes = subscribe(t, 'ws', url, CHANGED, { source: source.id });
  const listed = follow(changes, 'taskStatusChanged');
  const areAll = (state: string, ids = tasks) =>
    ids.every(id =>
      ['taskProgress', 'taskStatusChanged'].every(field => states.get(`${field} ${id}`) === state),
    );
  await until(() => areAll('RUNNING'));

  let isCrowded = true;
  const answered = new EventEmitter().setMaxListeners(0);
  const outcomes = { answered: 0, refused: 0, late: 0 };
  const caller = async (place: number) => {
    for (let count = 0; isCrowded; count++) {
      const { errors } = await query(LIST, { launcher: `${place} ${count}` });
      if (errors === undefined) {
        outcomes.answered++;
        answered.emit('one');
      } else if (errors[0]?.extensions['code'] === 'UPSTREAM_TIMEOUT') {
        outcomes.late++;
      } else {
        assert.equal(errors[0]?.extensions['code'], 'RATE_LIMITED', errors[0]?.message);
        assert.ok(errors[0].extensions['retryAfterSeconds'] >= 1);
        outcomes.refused++;
        // Retries as soon as another reader was answered, whatever Retry-After says.
        if (isCrowded) await once(answered, 'one');
      }
    }
  };
  const crowd = Promise.all(Array.from({ length: 100 }, (_, place) => caller(place)));
  // All tasks end during the overload, and each subscription must get the end.
  for (const ending of [tasks.slice(0, 15), tasks.slice(15)]) {
    const { answered: answeredBefore, refused: refusedBefore } = outcomes;
    await until(() => outcomes.answered >= answeredBefore + 10 && outcomes.refused > refusedBefore);
    for (const id of ending) tenant.finish(id);
    await until(() => areAll('COMPLETED', ending));
  }
  await Promise.all(followed);
  isCrowded = false;
  answered.emit('one');
  await crowd;
  await changes.return?.();
  await listed;

  assert.deepEqual(failures, []);
  assert.ok(outcomes.answered > 0 && outcomes.refused > 0, JSON.stringify(outcomes));
  // On a busy machine an answer may take longer than any before it. That should be rare.
  assert.ok(outcomes.late <= 0.1 * outcomes.answered, JSON.stringify(outcomes));

  assert.ok(sandbox.journal.requests.every(({ status }) => status !== 429));
});
