import type { TestContext } from 'node:test';
import { systemClock } from '../../src/clock.ts';
import type { BudgetLimits, Fleet } from '../../src/fleet/fleet.ts';
import { type RedisFleetOptions, createRedisFleet } from '../../src/fleet/redis.ts';
import { type Log, createLog } from '../../src/log.ts';

/** One instance of a fleet over the Redis at `url`, closed after the test. */
export async function openFleet(
  t: TestContext,
  url: string,
  limits: BudgetLimits,
  more: Partial<RedisFleetOptions> = {},
): Promise<Fleet> {
  const fleet = await createRedisFleet({
    url,
    limits,
    clock: systemClock,
    log: createLog('silent'),
    maxRequestMs: 1_000,
    ...more,
  });
  t.after(() => fleet.close());
  return fleet;
}

/** A log that keeps its lines, as `message: reason`. */
export function createMemoryLog(): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const keep = (fields: unknown, message?: string) => {
    if (typeof fields === 'string') lines.push(fields);
    const { reason } = fields as { reason?: string };
    if (message) lines.push(reason === undefined ? message : `${message}: ${reason}`);
  };
  return {
    lines,
    log: { debug: keep, info: keep, warn: keep, error: keep },
  };
}
