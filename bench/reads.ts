import { forkGateway } from './gateway.ts';
import { readTasks } from './task-reads.ts';
import { startTenant } from './tenant.ts';

// A thousand single-task queries a second, over a thousand tasks, inside upstream's real limit.
const TASKS = 1_000;
const PER_SECOND = 1_000;
const CONNECTIONS = 200;
const SECONDS = 30;

const rows = [];
for (const stalenessMs of [1_000, 0]) rows.push(await measure(stalenessMs));
console.table(rows);

async function measure(stalenessMs: number) {
  const { sandbox, ids } = await startTenant(TASKS);
  const gateway = await forkGateway(sandbox, { MAX_STALENESS_MS: String(stalenessMs) });
  const result = await readTasks(gateway.url, ids, {
    connections: CONNECTIONS,
    duration: SECONDS,
    overallRate: PER_SECOND,
  });
  const { cpuSeconds, rssMb } = await gateway.usage();
  const { journal } = sandbox;
  const row = {
    MAX_STALENESS_MS: stalenessMs,
    answered: result['2xx'],
    'failed or wrong': result.errors + result.timeouts + result.non2xx + result.mismatches,
    'upstream requests': journal.requests.length,
    'most in any 10 s': journal.worstWindow(10_000),
    '429 at upstream': journal.requests.filter(({ status }) => status === 429).length,
    'reads per upstream request': Math.round(result['2xx'] / journal.requests.length),
    'p50 ms': result.latency.p50,
    'p99 ms': result.latency.p99,
    'longest ms': result.latency.max,
    'CPU %': Math.round((100 * cpuSeconds) / SECONDS),
    'RSS MB': Math.round(rssMb),
  };
  await gateway.close();
  await sandbox.close();
  return row;
}
