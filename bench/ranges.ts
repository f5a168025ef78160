import { readConfig } from '../src/config.ts';
import { startGateway } from '../src/gateway.ts';
import { Random } from '../src/sandbox/random.ts';
import { startSandbox } from '../src/sandbox/sandbox.ts';
import { HandClock } from '../test/support/hand-clock.ts';
import { environmentOver, postGraphQL } from '../test/support/start.ts';

// The upstream requests of ranges of creation dates over 20,000 tasks of 60 days, however they are
// spread.
const TASKS = 20_000;
const DAYS = 60;
const DAY_MS = 86_400_000;
const PAGE_LENGTH = 15;
const SEED = 1;
const NODES = `query ($filter: TaskStatusFilter, $first: Int, $after: String) {
  taskStatuses(filter: $filter, first: $first, after: $after) { nodes { id } pageInfo { endCursor hasNextPage } }
}`;
const COUNT = 'query ($filter: TaskStatusFilter) { taskStatuses(filter: $filter) { totalCount } }';

/** Milliseconds between two tasks, on average `meanMs` over all. `random` is as if drawn, 0–1. */
type Gap = (meanMs: number, random: number, now: Date, place: number) => number;
const SPREADS: Record<string, Gap> = {
  evenly: meanMs => meanMs,
  'at random': (meanMs, random) => -Math.log(1 - random) * meanMs,
  'in office hours': (meanMs, random, now) => {
    const isOffice = now.getUTCHours() >= 8 && now.getUTCHours() < 18 && now.getUTCDay() % 6 > 0;
    return -Math.log(1 - random) * meanMs * (isOffice ? 0.35 : 6);
  },
  'half of them in an hour': (meanMs, _random, _now, place) =>
    place > TASKS / 4 && place < (3 * TASKS) / 4 ? 360 : 2 * meanMs,
};

console.table(await Promise.all(Object.entries(SPREADS).map(([name, gap]) => measure(name, gap))));

async function measure(spread: string, gap: Gap) {
  const clock = new HandClock();
  const sandbox = await startSandbox({
    tasks: 0,
    newTaskEveryMs: null,
    oddities: false,
    rateLimit: Infinity,
    clock,
  });
  const random = new Random(SEED);
  for (let place = 0; place < TASKS; place++) {
    sandbox.tenant.addTask({ queueMs: 0, runMs: 0, statusLagMs: 0 });
    const now = new Date(clock.now());
    const gapMs = gap((DAYS * DAY_MS) / TASKS, random.next(), now, place);
    clock.advance(Math.round(gapMs));
  }
  const config = readConfig({ ...environmentOver(sandbox), MAX_STALENESS_MS: '0' });
  const gateway = await startGateway({ ...config, baseUrl: new URL(sandbox.url) }, clock);

  const costOf = async (query: string, variables: Record<string, unknown>) => {
    const before = sandbox.journal.requests.length;
    const { data, errors } = await postGraphQL(gateway.url, query, variables);
    if (errors) throw new Error(errors[0]?.message);
    // The next operation finds a whole budget.
    clock.advance(30_000);
    return { list: data.taskStatuses, requests: sandbox.journal.requests.length - before };
  };
  const pages = async (filter: object, count: number) => {
    const costs: number[] = [];
    for (let after: string | null = null; costs.length < count;) {
      const { list, requests } = await costOf(NODES, { filter, first: PAGE_LENGTH, after });
      costs.push(requests);
      after = list.pageInfo.endCursor;
      if (!list.pageInfo.hasNextPage) break;
    }
    return costs;
  };
  const dayFrom = (days: number) => ({
    gte: new Date(clock.now() - days * DAY_MS).toISOString(),
    lt: new Date(clock.now() - (days - 1) * DAY_MS).toISOString(),
  });
  const last24Hours = () => ({ created: { gte: dayFrom(1).gte } });

  const lastDay = await pages(last24Hours(), 10);
  const count = await costOf(COUNT, { filter: last24Hours() });
  const countAgain = await costOf(COUNT, { filter: last24Hours() });
  const aDay = { created: dayFrom(40) };
  const old = await pages(aDay, 2);
  const oldCount = await costOf(COUNT, { filter: aDay });
  await gateway.close();
  await sandbox.close();
  return {
    'tasks created': spread,
    'last 24 h': count.list.totalCount,
    'first page': lastDay[0],
    'tenth page': lastDay[9] ?? null,
    count: count.requests,
    'count 30 s later': countAgain.requests,
    'a day 40 days ago': oldCount.list.totalCount,
    'its first page': old[0],
    'its second page': old[1] ?? null,
    'its count': oldCount.requests,
  };
}
