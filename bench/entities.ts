import { performance } from 'node:perf_hooks';
import { postGraphQL } from '../test/support/start.ts';
import { forkGateway } from './gateway.ts';
import { startTenant } from './tenant.ts';

// The upstream requests for a router's references, compared with one request per reference.
const REFERENCES = 250;
const TASKS =
  'query ($of: [_Any!]!) { _entities(representations: $of) { ... on TaskStatus { id state } } }';
const SOURCES =
  'query ($of: [_Any!]!) { _entities(representations: $of) { ... on Source { latestTask { id } tasks(first: 5) { nodes { id } } } } }';
const ENDED = { queueMs: 0, runMs: 0, statusLagMs: 0 };

const { sandbox, ids } = await startTenant(REFERENCES, { rateLimit: Infinity });
const even = addSources('even', () => 10);
// A tenth of the sources runs many tasks, the others few.
const uneven = addSources('uneven', place => (place % 10 === 0 ? 100 : 2));
const gateway = await forkGateway(sandbox, {
  UPSTREAM_RATE_LIMIT: '1000000',
  MAX_STALENESS_MS: '0',
});

console.table([
  await measure('tasks by id', TASKS, 'TaskStatus', ids, 1),
  await measure('tasks and latest task of sources, evenly busy', SOURCES, 'Source', even, 2),
  await measure('the same, a tenth of them busy', SOURCES, 'Source', uneven, 2),
]);
await gateway.close();
await sandbox.close();

function addSources(kind: string, countOf: (place: number) => number): string[] {
  const sources = Array.from({ length: REFERENCES }, (_, place) => ({
    id: `${kind}-${place}`,
    type: 'APPLICATION',
    name: `${kind} ${place} [source]`,
  }));
  // Sources take turns, as in a live tenant.
  for (let round = 0; sources.some((_, place) => round < countOf(place)); round++)
    for (const [place, target] of sources.entries())
      if (round < countOf(place)) sandbox.tenant.addTask({ ...ENDED, target });
  return sources.map(({ id }) => id);
}

async function measure(
  what: string,
  query: string,
  __typename: string,
  keys: readonly string[],
  fields: number,
) {
  const before = sandbox.journal.requests.length;
  const startedAt = performance.now();
  const { errors } = await postGraphQL(gateway.url, query, {
    of: keys.map(id => ({ __typename, id })),
  });
  if (errors) throw new Error(errors[0]?.message);
  return {
    references: what,
    'upstream requests': sandbox.journal.requests.length - before,
    'one for each': fields * keys.length,
    ms: Math.round(performance.now() - startedAt),
  };
}
