import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { BudgetLimits, Fleet } from './fleet.ts';
import { connectRedis } from './redis-connection.ts';
import { createLeaseLog } from './lease-log.ts';
import { RedisGroup } from './redis-group.ts';
import { RedisWindow } from './redis-window.ts';

export interface RedisFleetOptions {
  url: string;
  /** Whether a start while Redis is down continues without it (the default) or fails. */
  startup?: 'continue' | 'require';
  limits: BudgetLimits;
  clock: Clock;
  log: Log;
  /** The longest time of a request in milliseconds, from its slot to its answer. */
  maxRequestMs: number;
}

/**
 * A fleet of instances over one Redis. Rejects with an error that names REDIS_URL if no retry can
 * help, or if Redis is down and `startup` is `require`.\n\nWhile Redis is disconnected, each
 * instance continues with its share of the budget. It reconnects automatically.
 */
export async function createRedisFleet(options: RedisFleetOptions): Promise<Fleet> {
  const { clock, startup = 'continue' } = options;
  const connection = await connectRedis({ ...options, startup });
  const leases = createLeaseLog(options.log);
  return {
    status: () => ({
      isConnected: !connection.isDisconnected,
      reason: connection.fault,
      instances: connection.instances,
      leases: leases.held,
    }),
    openWindow: name => new RedisWindow(name, { ...options, connection }),
    openGroup: (name, listener) =>
      new RedisGroup(name, listener, { connection, clock, onLease: leases.changed }),
    close: () => connection.close(),
  };
}
