import { fetchToken, postGraphQL } from '../test/support/start.ts';
import { forkGateway } from './gateway.ts';
import { startTenant } from './tenant.ts';

// A million reads of 100,000 ids with 1,000 tokens, to see that memory stays bounded.
const IDS = 100_000;
const TOKENS = 1_000;
const READS_PER_OPERATION = 100;
const OPERATIONS = 10_000;
const SAMPLES = 5;
const AT_ONCE = 20;
const PLACES = Array.from({ length: READS_PER_OPERATION }, (_, place) => place);
const QUERY = `query (${PLACES.map(place => `$id${place}: ID!`).join(', ')}) {
  ${PLACES.map(place => `t${place}: taskStatus(id: $id${place}) { id }`).join(' ')}
}`;

const { sandbox, ids } = await startTenant(IDS, { rateLimit: Infinity });
const tokens: string[] = [];
for (let count = 0; count < TOKENS; count++)
  tokens.push(await fetchToken(sandbox, sandbox.clients.add()));
const gateway = await forkGateway(sandbox, {
  AUTH_MODE: 'passthrough',
  UPSTREAM_RATE_LIMIT: '1000000',
});

const rows = [await sample(0)];
let next = 0;
for (let part = 1; part <= SAMPLES; part++) {
  await Promise.all(
    Array.from({ length: AT_ONCE }, () => readUntil((part * OPERATIONS) / SAMPLES)),
  );
  rows.push(await sample(next * READS_PER_OPERATION));
}
console.table(rows);
await gateway.close();
await sandbox.close();

async function readUntil(end: number): Promise<void> {
  while (next < end) {
    const operation = next++;
    const requested = Array.from(
      { length: READS_PER_OPERATION },
      (_, place) => ids[(operation * READS_PER_OPERATION + place) % IDS],
    );
    const variables = Object.fromEntries(requested.map((id, place) => [`id${place}`, id]));
    const token = tokens[(operation * 7) % TOKENS];
    const { data } = await postGraphQL(gateway.url, QUERY, variables, {
      authorization: `Bearer ${token}`,
    });
    if (requested.some((id, place) => data[`t${place}`].id !== id))
      throw new Error('A wrong answer.');
  }
}

async function sample(reads: number) {
  const { heapMb, rssMb } = await gateway.usage();
  return { reads, 'heap MB': Math.round(heapMb), 'RSS MB': Math.round(rssMb) };
}
