import autocannon from 'autocannon';
import { forkGateway } from './gateway.ts';
import { startTenant } from './tenant.ts';

// What logs and metrics cost: the same reads with all of it, scraped each second, and with none of it, in turns.
const TASKS = 1_000;
const TURNS = 5;
const REQUESTS = 6_000;
const QUERY = 'query Read($id: ID!) { taskStatus(id: $id) { id state percentComplete } }';
const KINDS = {
  on: { LOG_LEVEL: 'info', BENCH_OBSERVED: 'true' },
  off: { LOG_LEVEL: 'silent', BENCH_OBSERVED: 'false' },
};

const rows = [];
for (const stalenessMs of [60_000, 0]) {
  const cpu: Record<keyof typeof KINDS, number[]> = { on: [], off: [] };
  for (let turn = 0; turn < TURNS; turn++)
    // The one that goes first may be at a disadvantage, so they take turns at that too.
    for (const kind of turn % 2 === 0 ? (['on', 'off'] as const) : (['off', 'on'] as const))
      cpu[kind].push(await measure(stalenessMs, kind));
  const [on, off] = [median(cpu.on), median(cpu.off)];
  rows.push({
    MAX_STALENESS_MS: stalenessMs,
    'CPU a read, on (µs)': Math.round(on),
    'off (µs)': Math.round(off),
    'cost of observation': `${Math.round(1000 * (on / off - 1)) / 10} %`,
  });
}
console.table(rows);

/** Microseconds of CPU a read, once the process is warm. */
async function measure(stalenessMs: number, kind: keyof typeof KINDS): Promise<number> {
  const { sandbox, ids } = await startTenant(TASKS, { rateLimit: Infinity });
  const gateway = await forkGateway(sandbox, {
    ...KINDS[kind],
    MAX_STALENESS_MS: String(stalenessMs),
    UPSTREAM_RATE_LIMIT: '1000000',
  });
  await load(REQUESTS);
  const before = await gateway.usage();
  const scrape = setInterval(
    () =>
      void fetch(new URL('/metrics', gateway.url))
        .then(response => response.text())
        .catch(() => {}),
    1_000,
  );
  await load(REQUESTS);
  clearInterval(scrape);
  const { cpuSeconds } = await gateway.usage();
  await gateway.close();
  await sandbox.close();
  return ((cpuSeconds - before.cpuSeconds) / REQUESTS) * 1e6;

  async function load(amount: number): Promise<void> {
    let asked = 0;
    await autocannon({
      url: gateway.url,
      connections: 64,
      amount,
      requests: [
        {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          setupRequest: request => ({
            ...request,
            body: JSON.stringify({ query: QUERY, variables: { id: ids[asked++ % TASKS] } }),
          }),
        },
      ],
    });
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN;
}
