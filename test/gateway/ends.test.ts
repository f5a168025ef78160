import assert from 'node:assert/strict';
import { test } from 'node:test';
import { followToEnds } from '../support/ends.ts';
import { startGateway } from '../support/start.ts';

const TASKS = 150;
const PATIENCE_MS = 60_000;

for (const transport of ['sse', 'ws'] as const)
  test(`${transport}: of tasks with every oddity no percentage falls, and no stream ends before the status or stays open`, async t => {
    const { sandbox, tenant, url } = await startGateway(t, { sandbox: { oddities: true } });
    const ids = Array.from({ length: TASKS }, (_, place) =>
      tenant.addTask({ runMs: 300 + 5 * place, steps: 5, reportsPercent: true }),
    );
    // Beside what is odd about a task all its life, upstream may report no percentage now and then, or no date.
    for (const mutation of ['percent-null', 'percent-missing', 'dates-unreadable'] as const)
      sandbox.faults.order({ fault: { kind: 'row', mutation, all: true }, rate: 0.1 });
    const ends = await followToEnds(transport, url, ids, PATIENCE_MS);
    const { ended, endedEarly, failed, leftOpen, fell } = ends;
    assert.deepEqual([ended, endedEarly, failed, leftOpen, fell], [TASKS, 0, 0, 0, 0]);
    assert.ok(ends.events > 3 * TASKS, `${ends.events} events`);
    assert.ok(ends.undated > 0, 'some have no date of their end');
  });
