import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandClock } from '../support/hand-clock.ts';
import { startGatewayOver, startHostileUpstream } from '../support/hostile-upstream.ts';
import { until } from '../support/until.ts';

// A client that disconnects while its operation is executed leaves nothing behind.
const OPERATIONS = {
  query: '{ taskStatus(id: "a") { id } }',
  mutation:
    'mutation { updateTaskStatus(input: { id: "a", completionStatus: SUCCESS, completed: "2026-01-01T00:00:00Z" }) { taskStatus { id } } }',
};
const ACCEPTS = ['application/json', 'multipart/mixed;subscriptionSpec=1.0, application/json'];

for (const [type, query] of Object.entries(OPERATIONS))
  for (const accept of ACCEPTS)
    test(`${type}: no timer is left of an operation whose client has left (${accept})`, async t => {
      const clock = new HandClock();
      const upstream = await startHostileUpstream(t);
      // It never answers.
      upstream.respond = () => {};
      const { url, log } = await startGatewayOver(t, upstream.url, {}, clock);
      const leaving = new AbortController();
      const answered = fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', accept },
        body: JSON.stringify({ query }),
        signal: leaving.signal,
      });
      await until(() => upstream.requests.length > 0);
      leaving.abort();
      await assert.rejects(answered);
      await until(() => log.lines.some(({ codes }) => String(codes) === 'ABORTED'));
      await until(() => clock.waiting === 0);
    });
