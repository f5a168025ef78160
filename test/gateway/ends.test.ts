import assert from 'node:assert/strict';
import { test } from 'node:test';
import { followToEnds } from '../support/ends.ts';
import { HandClock } from '../support/hand-clock.ts';
import { startGateway } from '../support/start.ts';
import { until } from '../support/until.ts';

const TASKS = 150;
const INTERVAL_MS = 20;
const MAX_QUIET_MS = 15 * INTERVAL_MS;

for (const transport of ['sse', 'ws'] as const)
  test(`${transport}: for tasks with every oddity, percentages never fall, and every stream ends with the completion status`, async t => {
    const clock = new HandClock();
    const { sandbox, tenant, url } = await startGateway(t, {
      clock,
      sandbox: { oddities: true },
      env: { PROGRESS_INTERVAL_MS: String(INTERVAL_MS) },
    });
    const ids = Array.from({ length: TASKS }, (_, place) =>
      tenant.addTask({ runMs: 300 + 5 * place, steps: 5, reportsPercent: true }),
    );
    const { ends, finished, close } = followToEnds(transport, url, ids);
    t.after(close);
    await until(() => ends.events === TASKS);
    // In addition to the permanent oddities of a task, upstream sometimes reports no percentage, or
    // no date.
    for (const mutation of ['percent-null', 'percent-missing', 'dates-unreadable'] as const)
      sandbox.faults.order({ fault: { kind: 'row', mutation, all: true }, rate: 0.1 });
    let isFinished = false;
    void finished.then(() => (isFinished = true));
    while (!isFinished) {
      // Between polls there is one timer: that of the next poll.
      await until(() => isFinished || (clock.waiting === 1 && clock.nextInMs <= MAX_QUIET_MS));
      clock.advance(INTERVAL_MS);
      // The last stream ends after this.
      await new Promise(resolve => setImmediate(resolve));
    }
    const { ended, endedEarly, failed, fell } = ends;
    assert.deepEqual([ended, endedEarly, failed, fell], [TASKS, 0, 0, 0]);
    assert.ok(ends.events > 2 * TASKS, `${ends.events} events`);
    assert.ok(ends.undated > 0, 'some have no date of their end');
  });
