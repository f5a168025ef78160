import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { ROW_MUTATIONS, type RowMutation } from '../src/sandbox/row-mutations.ts';
import { startSandbox } from '../src/sandbox/sandbox.ts';
import { followToEnds } from '../test/support/ends.ts';
import { forkGateway } from './gateway.ts';

// Subscribes to two thousand tasks with every oddity until they complete, over each transport, at
// the real limit of upstream; then once more with odd rows in addition.
const TASKS = 2_000;
const SPREAD_MS = 40_000;
const PATIENCE_MS = 120_000;
// These make a row unreadable.
const COSTLY = new Set(['id-missing', 'created-unreadable']);

const rows = [];
for (const transport of ['sse', 'ws'] as const)
  for (const hasOddRows of [false, true]) rows.push(await measure(transport, hasOddRows));
console.table(rows);

async function measure(transport: 'sse' | 'ws', hasOddRows: boolean) {
  const sandbox = await startSandbox({ tasks: 0, newTaskEveryMs: null, oddities: true });
  // The subscribers connect before the first tasks end.
  const ids = Array.from({ length: TASKS }, (_, place) =>
    sandbox.tenant.addTask({ runMs: 15_000 + (place * SPREAD_MS) / TASKS }),
  );
  if (hasOddRows)
    for (const mutation of Object.keys(ROW_MUTATIONS) as RowMutation[])
      if (!COSTLY.has(mutation))
        sandbox.faults.order({ fault: { kind: 'row', mutation }, rate: 0.2 });
  const gateway = await forkGateway(sandbox, { MAX_SUBSCRIPTIONS_PER_CONNECTION: '2000' });
  const startedAt = performance.now();
  const { ends, finished, close } = followToEnds(transport, gateway.url, ids);
  await Promise.race([finished, wait(PATIENCE_MS)]);
  const row = {
    transport,
    'odd rows': hasOddRows ? 'many' : 'none',
    tasks: TASKS,
    events: ends.events,
    'ended before the status': ends.endedEarly,
    'left open': TASKS - ends.ended - ends.endedEarly - ends.failed,
    failed: ends.failed,
    'percentages that fell': ends.fell,
    'ended without a date': ends.undated,
    'upstream requests': sandbox.journal.requests.length,
    'most in any 10 s': sandbox.journal.worstWindow(10_000),
    seconds: Math.round((performance.now() - startedAt) / 1_000),
  };
  await close();
  await gateway.close();
  await sandbox.close();
  return row;
}
