import type { TestContext } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import type { BudgetLimits, Fleet } from '../../src/fleet/fleet.ts';
import { createRedisFleet } from '../../src/fleet/redis.ts';
import { createLog } from '../../src/log.ts';

/** One instance of a fleet over the Redis at `url`, closed after the test. */
export async function openFleet(t: TestContext, url: string, limits: BudgetLimits): Promise<Fleet> {
  const fleet = await createRedisFleet({
    url,
    limits,
    clock: systemClock,
    log: createLog('silent'),
    maxRequestMs: 1_000,
  });
  t.after(() => fleet.close());
  return fleet;
}
