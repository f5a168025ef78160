import { BURST_SHARE, type BudgetLimits } from './fleet.ts';
import type { RedisConnection } from './redis-connection.ts';
import { CHANNELS } from './redis-keys.ts';

/** The window, and how long its slots count, in milliseconds. */
export interface RedisSlotsOptions {
  connection: RedisConnection;
  limits: BudgetLimits;
  /** How long a slot counts that is not settled: the longest request and one window. */
  unsettledMs: number;
  /** How long a slot counts after it was settled. */
  settledMs: number;
}

/** Redis' answer to a request for a slot. Times are in milliseconds. */
export interface TakeAnswer {
  isTaken: boolean;
  retryInMs: number;
  free: number;
  pausedForMs: number;
  /** The clock of Redis. */
  now: number;
}

/** The slots of one budget in Redis. Every method rejects if Redis is disconnected. */
export class RedisSlots {
  /** Messages about slots and pauses are published here. */
  readonly channel: string;
  readonly #name: string;
  readonly #options: RedisSlotsOptions;

  constructor(name: string, options: RedisSlotsOptions) {
    this.channel = CHANNELS.budget(name);
    this.#name = name;
    this.#options = options;
  }

  /** Takes a slot if one is free. `settledCount`: how many settled slots Redis must still hold. */
  async take(id: string, settledCount: number, isProvisional: boolean): Promise<TakeAnswer> {
    const { connection, limits, unsettledMs } = this.#options;
    const { slots, pause, last } = this.#keys;
    const { settling, instances, reserved } = connection.keys;
    const burst = Math.floor(limits.limit * BURST_SHARE);
    const answer = await connection.run(
      'take',
      [slots, pause, last, settling, instances, reserved],
      [
        limits.limit,
        limits.windowMs,
        burst,
        id,
        unsettledMs,
        this.channel,
        settledCount,
        Number(isProvisional),
      ],
    );
    const [isTaken, retryInMs = 0, free = 0, pausedForMs = 0, now = 0] = answer as number[];
    return { isTaken: isTaken === 1, retryInMs, free, pausedForMs, now };
  }

  async settle(id: string): Promise<void> {
    const { connection, settledMs } = this.#options;
    await connection.run('settle', [this.#keys.slots], [id, settledMs, this.channel]);
  }

  /**
   * Renews slots of open requests. Otherwise they would expire like those of an instance that died.
   */
  async keep(ids: readonly string[]): Promise<void> {
    const { connection, unsettledMs } = this.#options;
    await connection.run('keep', [this.#keys.slots], [unsettledMs, this.channel, ...ids]);
  }

  /** Gives slots back for which no request was sent. */
  async cancel(ids: readonly string[]): Promise<void> {
    await this.#options.connection.run('cancel', [this.#keys.slots], [this.channel, ...ids]);
  }

  /** Pauses the budget on all instances. */
  async pause(forMs: number): Promise<void> {
    const { connection } = this.#options;
    await connection.run('pause', [this.#keys.pause], [Math.ceil(forMs), this.channel]);
  }

  /** Writes the slots that this instance knows, and returns those that Redis knows. */
  async share(
    known: readonly [id: string, freeInMs: number][],
  ): Promise<{ pausedForMs: number; taken: [id: string, freeInMs: number][] }> {
    const { connection, limits, unsettledMs } = this.#options;
    const { slots, pause } = this.#keys;
    const all = await connection.run(
      'share',
      [slots, pause],
      [
        unsettledMs + limits.windowMs,
        this.channel,
        ...known.flatMap(([id, freeInMs]) => [id, Math.ceil(freeInMs)]),
      ],
    );
    const [pausedForMs = 0, ...flat] = all as (string | number)[];
    const taken: [string, number][] = [];
    for (let place = 0; place < flat.length; place += 2)
      taken.push([String(flat[place]), Number(flat[place + 1])]);
    return { pausedForMs: Number(pausedForMs), taken };
  }

  // Read each time: the generation is part of the keys, and it may have changed.
  get #keys() {
    return this.#options.connection.keys.budget(this.#name);
  }
}
