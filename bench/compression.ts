// What it costs to compress a page of tasks: bytes, and milliseconds per request, one request after
// another.
import { request } from 'node:http';
import { performance } from 'node:perf_hooks';
import { createLog } from '../src/log.ts';
import { readConfig } from '../src/config.ts';
import { startGateway } from '../src/gateway.ts';
import { systemClock } from '../src/clock.ts';
import { environmentOver } from '../test/support/start.ts';
import { startTenant } from './tenant.ts';

const ROUNDS = 40;
const CODINGS = ['identity', 'gzip', 'br'];
const FIELDS =
  'id uniqueName description type state created completed percentComplete target { id name }';

const { sandbox } = await startTenant(250, { rateLimit: Infinity });
const config = readConfig({ ...environmentOver(sandbox), MAX_STALENESS_MS: '600000' });
const gateway = await startGateway(
  { ...config, baseUrl: new URL(sandbox.url) },
  systemClock,
  createLog('silent'),
);
console.log('| tasks | coding | bytes | ms, median |\n| ---: | --- | ---: | ---: |');
for (const tasks of [10, 50, 250]) {
  const body = JSON.stringify({
    query: `{ taskStatuses(first: ${tasks}) { nodes { ${FIELDS} } } }`,
  });
  const times = new Map<string, number[]>(CODINGS.map(coding => [coding, []]));
  const sizes = new Map<string, number>();
  // In turns, so that a busy machine slows all codings alike.
  for (let round = 0; round < ROUNDS; round++)
    for (const coding of CODINGS) {
      const begin = performance.now();
      sizes.set(coding, await ask(body, coding));
      times.get(coding)?.push(performance.now() - begin);
    }
  for (const coding of CODINGS) {
    const median = times.get(coding)?.toSorted((a, b) => a - b)[ROUNDS / 2] ?? 0;
    console.log(`| ${tasks} | ${coding} | ${sizes.get(coding)} | ${median.toFixed(1)} |`);
  }
}
await gateway.close();
await sandbox.close();

/** The size of the answer's body in bytes. */
function ask(body: string, coding: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'accept-encoding': coding };
    request(gateway.url, { method: 'POST', headers }, response => {
      let bytes = 0;
      response.on('data', (chunk: Buffer) => (bytes += chunk.length));
      response.on('end', () => resolve(bytes));
    })
      .on('error', reject)
      .end(body);
  });
}
