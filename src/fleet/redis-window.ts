import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import {
  BURST_SHARE,
  type BudgetLimits,
  type BudgetWindow,
  type Slot,
  type Take,
} from './fleet.ts';
import { LocalWindow } from './local.ts';
import {
  INSTANCES_KEY,
  KEY_PREFIX,
  type Member,
  type RedisConnection,
  SETTLING_KEY,
} from './redis-connection.ts';
import { CANCEL, PAUSE, PAUSE_WORD, SETTLE, SHARE, TAKE } from './scripts.ts';
import { SlotLog } from './slot-log.ts';

export interface RedisWindowOptions {
  connection: RedisConnection;
  limits: BudgetLimits;
  clock: Clock;
  /** Milliseconds that a request takes at the most, from its slot to its answer. */
  maxRequestMs: number;
}

// Where Redis has just been found lost, the next attempt is the local window's.
const RETRY_AT_ONCE_MS = 1;
const REPORT_RETRY_MS = 20;
// A connection that breaks for a moment is back by then, and nothing was spent alone.
const RECONNECT_GRACE_MS = 1_000;
// An instance that is cut off is known to be by then, and the others leave its share to it.
const NOTICED_AFTER_MS = 2_500;
// How often one that waits to go on alone asks whether it may.
const ALONE_RETRY_MS = 100;

/**
 * The window that all instances spend from, counted by Redis.
 *
 * Each instance also keeps a log of what all of them spent. When Redis is lost, each goes on inside its
 * share of what that log leaves; when it is back, each first says what it spent alone.
 */
export class RedisWindow implements BudgetWindow, Member {
  readonly #options: RedisWindowOptions;
  readonly #keys: { slots: string; pause: string; last: string };
  readonly #log: SlotLog;
  readonly #leave: () => void;
  /** Whether the log has what was spent before it was begun. */
  #isInformed = false;
  #alone: LocalWindow;
  /** Since when it is lost, and from when on something may be spent alone; on the monotonic clock. */
  #lostAt: number | null = null;
  #aloneFrom = -Infinity;
  /** Until when upstream said that nothing is to be sent, to whichever instance; on the monotonic clock. */
  #pausedUntil = -Infinity;
  /** Between alone and together: what was spent alone is being told, and nothing may be added to it. */
  #isReporting = false;
  /** What Redis said last, and when: the forecast need not be fresh. */
  #seen: { free: number; at: number };

  constructor(name: string, options: RedisWindowOptions) {
    this.#options = options;
    const { connection, clock, limits } = options;
    const key = `${KEY_PREFIX}:budget:${name}`;
    this.#keys = { slots: `${key}:slots`, pause: `${key}:pause`, last: `${key}:last` };
    this.#log = new SlotLog(clock);
    this.#alone = new LocalWindow(limits, clock);
    this.#seen = { free: limits.limit, at: -Infinity };
    const subscription = connection.subscribe(this.#keys.slots, message => {
      const [id = '', ms] = message.split(' ');
      if (id === PAUSE_WORD) this.#notePause(Number(ms));
      else this.#log.put(id, Number(ms));
    });
    const leave = connection.join(this);
    this.#leave = () => {
      subscription.leave();
      leave();
    };
    if (connection.isLost) this.lost();
    // After it is joined: what is spent from then on is heard. Where it fails Redis is lost, and found again.
    else subscription.joined.then(() => this.report()).catch(() => {});
  }

  async take(): Promise<Take> {
    const { connection, limits, clock, maxRequestMs } = this.#options;
    const id = randomUUID();
    const unsettledMs = maxRequestMs + limits.windowMs;
    if (this.#isReporting) return { retryInMs: REPORT_RETRY_MS };
    if (connection.isLost) {
      const untilAloneMs = this.#aloneFrom - clock.monotonic();
      if (untilAloneMs > 0) return { retryInMs: Math.min(untilAloneMs, ALONE_RETRY_MS) };
      const taken = this.#alone.take();
      return 'slot' in taken ? { slot: this.#slot(id, unsettledMs, taken.slot) } : taken;
    }
    const { slots, pause, last } = this.#keys;
    const burst = Math.floor(limits.limit * BURST_SHARE);
    try {
      const answer = await connection.run(
        TAKE,
        [slots, pause, last, SETTLING_KEY, INSTANCES_KEY],
        [limits.limit, limits.windowMs, burst, id, unsettledMs, slots],
      );
      const [isTaken, retryInMs = 0, free = 0, pausedMs = 0] = answer as number[];
      this.#seen = { free, at: clock.monotonic() };
      this.#notePause(pausedMs);
      return isTaken === 1 ? { slot: this.#slot(id, unsettledMs) } : { retryInMs };
    } catch {
      return { retryInMs: RETRY_AT_ONCE_MS };
    }
  }

  pause(forMs: number): void {
    this.#notePause(forMs);
    if (!this.#options.connection.isLost || this.#isReporting)
      this.#pauseAll(forMs).catch(() => {});
  }

  outlook() {
    const { connection, clock, limits } = this.#options;
    const now = clock.monotonic();
    if (connection.isLost) {
      const { free, pausedForMs } = this.#alone.outlook();
      return { free, pausedForMs: Math.max(pausedForMs, this.#aloneFrom - now) };
    }
    const { free, at } = this.#seen;
    return {
      free: now - at > limits.windowMs ? limits.limit : free,
      pausedForMs: Math.max(0, this.#pausedUntil - now),
    };
  }

  close(): void {
    this.#leave();
  }

  /**
   * Of what the log leaves, this instance's share is what it spends, until Redis is back. If it alone is cut
   * off, the others go on with the whole limit until they notice, and that is free again a window later.
   */
  lost(): void {
    this.#isReporting = false;
    // Found and lost again before anything was shared: what was begun alone goes on.
    if (this.#lostAt !== null) return;
    const { connection, limits, clock } = this.#options;
    const instances = Math.max(1, connection.instances);
    const limit = Math.max(1, Math.floor(limits.limit / instances));
    // Of as many slots as there are instances, the last to come free is charged to each.
    const charged = this.#log
      .taken()
      .filter((_, place) => place % instances === 0)
      .map(([, freeInMs]) => freeInMs);
    this.#lostAt = clock.monotonic();
    this.#aloneFrom = this.#lostAt + limits.windowMs + NOTICED_AFTER_MS;
    this.#alone = new LocalWindow({ ...limits, limit }, clock, charged);
    this.#alone.pause(this.#pausedUntil - clock.monotonic());
  }

  /** Nobody spends but alone. Without a log, what was spent before that is known to nobody. */
  vanished(): void {
    if (this.#lostAt === null) return;
    const graceMs = this.#isInformed ? RECONNECT_GRACE_MS : this.#options.limits.windowMs;
    this.#aloneFrom = Math.min(this.#aloneFrom, this.#lostAt + graceMs);
  }

  async report(): Promise<void> {
    const { connection, limits, clock, maxRequestMs } = this.#options;
    this.#isReporting = connection.isLost;
    const pausedForMs = this.#pausedUntil - clock.monotonic();
    if (pausedForMs > 0) await this.#pauseAll(pausedForMs);
    const known = this.#log.taken().flatMap(([id, freeInMs]) => [id, Math.ceil(freeInMs)]);
    const all = await connection.run(
      SHARE,
      [this.#keys.slots, this.#keys.pause],
      [maxRequestMs + 2 * limits.windowMs, this.#keys.slots, ...known],
    );
    const [pausedMs = 0, ...slots] = all as (string | number)[];
    this.#notePause(Number(pausedMs));
    for (let place = 0; place < slots.length; place += 2)
      this.#log.put(String(slots[place]), Number(slots[place + 1]));
    this.#isInformed = true;
  }

  rejoined(): void {
    this.#isReporting = false;
    this.#lostAt = null;
  }

  async #pauseAll(forMs: number): Promise<void> {
    const { pause, slots } = this.#keys;
    await this.#options.connection.run(PAUSE, [pause], [Math.ceil(forMs), slots]);
  }

  #notePause(forMs: number): void {
    const { connection, clock } = this.#options;
    this.#pausedUntil = Math.max(this.#pausedUntil, clock.monotonic() + forMs);
    if (connection.isLost) this.#alone.pause(forMs);
  }

  /** `alone` is the same slot in the window of this instance, where Redis did not give it. */
  #slot(id: string, unsettledMs: number, alone?: Slot): Slot {
    const { connection, limits } = this.#options;
    const { slots } = this.#keys;
    let isOpen = true;
    const close = (freeInMs: number, tell: () => Promise<unknown>) => {
      if (!isOpen) return;
      isOpen = false;
      this.#log.put(id, freeInMs);
      // Told at the report, where Redis is lost.
      if (!connection.isLost) tell().catch(() => {});
    };
    this.#log.put(id, unsettledMs);
    return {
      settle: () => {
        alone?.settle();
        close(limits.windowMs, () => connection.run(SETTLE, [slots], [id, limits.windowMs, slots]));
      },
      cancel: () => {
        alone?.cancel();
        close(0, () => connection.run(CANCEL, [slots], [id, slots]));
      },
    };
  }
}
