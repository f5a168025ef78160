import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import {
  BURST_SHARE,
  type BudgetLimits,
  type BudgetWindow,
  type Fleet,
  type Slot,
  type Take,
} from './fleet.ts';
import { LocalWindow } from './local.ts';
import { HEARTBEAT, PAUSE, SETTLE, TAKE } from './scripts.ts';

export interface RedisFleetOptions {
  url: string;
  limits: BudgetLimits;
  clock: Clock;
  log: Log;
  /** Milliseconds that a request takes at the most, from its slot to its answer. */
  maxRequestMs: number;
}

const COMMAND_TIMEOUT_MS = 1_000;
const RECONNECT_MS = 250;
const HEARTBEAT_MS = 1_000;
const GONE_AFTER_MS = 5_000;
// Where Redis has just been found lost, the next attempt is the local window's.
const RETRY_AT_ONCE_MS = 1;

/**
 * Many instances over one Redis, which counts for all of them. Rejects where Redis cannot be reached.
 *
 * While Redis is lost each instance goes on alone, inside its share of the budget, and rejoins by
 * itself. Both ways it first lets one whole window pass: what others spent in the last one is known to
 * nobody then.
 */
export async function createRedisFleet(options: RedisFleetOptions): Promise<Fleet> {
  const { url, limits, clock, log } = options;
  const redis = new Redis(url, {
    lazyConnect: true,
    // What cannot be sent now is not wanted later: the local window has answered by then.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    retryStrategy: () => RECONNECT_MS,
  });
  const instanceId = randomUUID();
  const windows = new Set<RedisWindow>();
  let instances = 1;
  let isLost = false;
  let cancelHeartbeat = () => {};
  // Until it is connected there is nothing to lose.
  let isClosed = true;

  redis.on('error', () => lose());
  redis.on('close', () => lose());
  redis.on('ready', () => void rejoin());
  try {
    await redis.connect();
    isClosed = false;
    await beat();
  } catch (cause) {
    isClosed = true;
    cancelHeartbeat();
    redis.disconnect();
    throw new Error('REDIS_URL: Redis cannot be reached there', { cause });
  }

  return {
    openWindow(clientId) {
      const window = new RedisWindow(clientId, redis, options, {
        isLost: () => isLost,
        lose,
        instances: () => instances,
        leave: left => windows.delete(left),
      });
      windows.add(window);
      return window;
    },
    async close() {
      isClosed = true;
      cancelHeartbeat();
      redis.disconnect();
    },
  };

  async function beat(): Promise<void> {
    try {
      instances = Math.max(
        1,
        Number(
          await redis.eval(
            HEARTBEAT,
            1,
            'task-status-gateway:instances',
            instanceId,
            GONE_AFTER_MS,
          ),
        ),
      );
    } finally {
      if (!isClosed) cancelHeartbeat = clock.after(HEARTBEAT_MS, () => void beat().catch(lose));
    }
  }

  function lose(): void {
    if (isLost || isClosed) return;
    isLost = true;
    log.warn({ instances }, 'Redis is lost; going on alone');
    for (const window of windows) window.goAlone();
  }

  async function rejoin(): Promise<void> {
    if (!isLost) return;
    try {
      await Promise.all([...windows].map(window => window.pauseAll(limits.windowMs)));
      isLost = false;
      log.info('Redis is back; rejoined');
    } catch {
      // Lost again: the next connection tries again.
    }
  }
}

interface Connection {
  isLost(): boolean;
  lose(): void;
  instances(): number;
  leave(window: RedisWindow): void;
}

class RedisWindow implements BudgetWindow {
  readonly #redis: Redis;
  readonly #options: RedisFleetOptions;
  readonly #connection: Connection;
  readonly #keys: { slots: string; pause: string; last: string };
  #alone: LocalWindow;
  /** What Redis said last, and when: the forecast need not be fresh. */
  #seen: { free: number; at: number; pausedUntil: number };

  constructor(clientId: string, redis: Redis, options: RedisFleetOptions, connection: Connection) {
    this.#redis = redis;
    this.#options = options;
    this.#connection = connection;
    // In braces, so that a cluster keeps the keys of one budget on one node.
    const prefix = `task-status-gateway:{${clientId}}`;
    this.#keys = { slots: `${prefix}:slots`, pause: `${prefix}:pause`, last: `${prefix}:last` };
    this.#alone = this.#openAlone();
    this.#seen = { free: options.limits.limit, at: -Infinity, pausedUntil: 0 };
  }

  async take(): Promise<Take> {
    if (this.#connection.isLost()) return this.#alone.take();
    const { limits, clock, maxRequestMs } = this.#options;
    const { slots, pause, last } = this.#keys;
    const burst = Math.floor(limits.limit * BURST_SHARE);
    const id = randomUUID();
    try {
      const answer = await this.#redis.eval(
        TAKE,
        3,
        slots,
        pause,
        last,
        limits.limit,
        limits.windowMs,
        burst,
        id,
        maxRequestMs + limits.windowMs,
      );
      const [isTaken, retryInMs = 0, free = 0, pausedMs = 0] = answer as number[];
      const at = clock.monotonic();
      this.#seen = { free, at, pausedUntil: at + pausedMs };
      return isTaken === 1 ? { slot: this.#slot(id) } : { retryInMs };
    } catch {
      this.#connection.lose();
      return { retryInMs: RETRY_AT_ONCE_MS };
    }
  }

  pause(forMs: number): void {
    this.#alone.pause(forMs);
    this.#seen.pausedUntil = Math.max(
      this.#seen.pausedUntil,
      this.#options.clock.monotonic() + forMs,
    );
    this.pauseAll(forMs).catch(() => this.#connection.lose());
  }

  outlook() {
    if (this.#connection.isLost()) return this.#alone.outlook();
    const { clock, limits } = this.#options;
    const now = clock.monotonic();
    const { free, at, pausedUntil } = this.#seen;
    return {
      free: now - at > limits.windowMs ? limits.limit : free,
      pausedForMs: Math.max(0, pausedUntil - now),
    };
  }

  close(): void {
    this.#connection.leave(this);
  }

  /** Redis is lost: nobody knows what the others have spent of the window that is running. */
  goAlone(): void {
    this.#alone = this.#openAlone();
    this.#alone.pause(this.#options.limits.windowMs);
  }

  async pauseAll(forMs: number): Promise<void> {
    await this.#redis.eval(PAUSE, 1, this.#keys.pause, Math.ceil(forMs));
  }

  #openAlone(): LocalWindow {
    const { limits, clock } = this.#options;
    const limit = Math.max(1, Math.floor(limits.limit / this.#connection.instances()));
    return new LocalWindow({ ...limits, limit }, clock);
  }

  #slot(id: string): Slot {
    let isOpen = true;
    const once = (close: () => Promise<unknown>) => () => {
      if (!isOpen) return;
      isOpen = false;
      close().catch(() => this.#connection.lose());
    };
    return {
      settle: once(() =>
        this.#redis.eval(SETTLE, 1, this.#keys.slots, this.#options.limits.windowMs, id),
      ),
      cancel: once(() => this.#redis.zrem(this.#keys.slots, id)),
    };
  }
}
