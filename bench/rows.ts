import { performance } from 'node:perf_hooks';
import { startSandbox } from '../src/sandbox/sandbox.ts';
import { readRow } from '../src/upstream/wire.ts';
import { at } from './subscribers.ts';

// What it takes to read a page of 250 rows that are JSON already, as specified and with oddities.
const RUNS = 300;

const rows = [];
for (const oddities of [false, true]) rows.push(await measure(oddities));
console.table(rows);

async function measure(oddities: boolean) {
  const sandbox = await startSandbox({ tasks: 250, newTaskEveryMs: null, oddities });
  const { page } = sandbox.tenant.select({
    filter: null,
    completed: null,
    ascending: null,
    client: sandbox.client,
  });
  const text = JSON.stringify(page(0, 250));
  await sandbox.close();
  const bodies = Array.from({ length: 60 }, () => JSON.parse(text) as unknown[]);
  const read = (body: unknown[]) => body.map(row => readRow(row));
  for (const body of bodies) read(body);
  const microseconds = Array.from({ length: RUNS }, (_, run) => {
    const startedAt = performance.now();
    read(bodies[run % bodies.length] ?? []);
    return (performance.now() - startedAt) * 1_000;
  });
  return {
    rows: oddities ? 'odd' : 'as specified',
    'p50 µs': at(microseconds, 0.5),
    'p90 µs': at(microseconds, 0.9),
  };
}
