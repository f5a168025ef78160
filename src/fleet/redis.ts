import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { BudgetLimits, Fleet } from './fleet.ts';
import { connectRedis } from './redis-connection.ts';
import { RedisGroup } from './redis-group.ts';
import { RedisWindow } from './redis-window.ts';

export interface RedisFleetOptions {
  url: string;
  /** What a start does while Redis is down: goes on alone (the default), or is refused. */
  startup?: 'continue' | 'require';
  limits: BudgetLimits;
  clock: Clock;
  log: Log;
  /** Milliseconds that a request takes at the most, from its slot to its answer. */
  maxRequestMs: number;
}

/**
 * Many instances over one Redis, which counts for all of them. Rejects, naming REDIS_URL, where no retry
 * would help, and where Redis is down and `startup` is `require`.
 *
 * While Redis is lost each instance goes on alone, inside its share of the budget, and rejoins by itself.
 */
export async function createRedisFleet(options: RedisFleetOptions): Promise<Fleet> {
  const { clock, startup = 'continue' } = options;
  const connection = await connectRedis({ ...options, startup });
  return {
    openWindow: name => new RedisWindow(name, { ...options, connection }),
    openGroup: (name, listener) => new RedisGroup(name, listener, connection, clock),
    close: () => connection.close(),
  };
}
