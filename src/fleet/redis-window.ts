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
import type { Member, RedisConnection } from './redis-connection.ts';
import { CHANNELS } from './redis-keys.ts';
import { CUT_OFF_DIVISOR, PAUSE_WORD } from './scripts.ts';
import { SlotLog } from './slot-log.ts';

/*
 * The window that all instances take slots from, counted by Redis. Each instance also keeps a log of all
 * slots that were taken, on its own clock. When Redis is disconnected, each instance gives slots alone, within
 * its share of what the log leaves. When Redis is back, each first writes what it knows (`resync`).
 *
 *   state      gives slots                                  entered when
 *   connected  from Redis                                   all members have resynced (onReconnect)
 *   waiting    none until `#aloneFrom`                      Redis is disconnected, also at a start (onDisconnect).
 *                                                           Lasts for a window, plus the time in which the other
 *                                                           instances notice
 *   cut off    a tenth of the limit, which the others       `#aloneFrom` has passed, and the others may still
 *              leave to an instance that is silent          use Redis: it hangs, or only this instance lost it
 *   alone      its share: the limit less a tenth, divided   nothing listens at the address (onServerDown), so all
 *              by the number of known instances             instances have lost it; a second after the disconnect,
 *                                                           or a window after it if the log has gaps
 *   resyncing  none                                         Redis is back (resync); an error → the state before
 *
 * The others leave no share to an instance that starts while Redis is down or that they have not counted yet.
 * Such an instance stays at the tenth that all of them leave free.
 *
 * A slot counts from before its request is sent until one window after upstream answered. So no window at
 * upstream holds more than the limit, unless a slot comes free too soon. These faults could cause that:
 *
 *   the request takes longer than it should      the slot is kept while the request is open (`keep`)
 *   the process is stopped before it sends       `isValid` is false, so the slot is not used
 *   the answer to `take` is lost                 the slot counts until the resync gives it back
 *   Redis disconnects while `take` runs          the slot is not used, because the share was computed without it
 *   the clock of Redis is set, or a server       each answer is compared with the monotonic clock; a new
 *   with another clock takes over                generation begins with what the instances know
 *   a flush, or a restart without data           the generation is missing; a new one begins likewise
 *   an eviction, or writes lost in a failover    there are fewer slots than were settled (`FORGOTTEN`), or a
 *                                                new session; all instances write what they know
 *   an instance dies with a slot                 the slot expires after the longest request and one window
 *
 * Not covered: an instance that is cut off alone for more than ten minutes; two masters at the same time, for as
 * long as clients write to both (`min-replicas-to-write` prevents it); fewer slots than instances.
 */

export interface RedisWindowOptions {
  connection: RedisConnection;
  limits: BudgetLimits;
  clock: Clock;
  /** Milliseconds that a request takes at the most, from its slot to its answer. */
  maxRequestMs: number;
}

// Redis has just disconnected, so the local window answers the next attempt.
const RETRY_AT_ONCE_MS = 1;
const RESYNC_RETRY_MS = 20;
// A connection that broke briefly is back by then, and no slot was given alone.
const RECONNECT_GRACE_MS = 1_000;
// By then the others know that this instance is cut off, and leave its share to it.
const NOTICED_AFTER_MS = 2_500;
// How often a caller tries again while this instance waits to go on alone.
const ALONE_RETRY_MS = 100;
// A settled slot must still be in Redis until its last moments: within this time of its expiry, or half a
// window if that is longer, a slow script or message may make it look missing.
const UNSURE_MS = 1_500;
// Settled slots are kept longer by this share of a window, because clocks drift.
const DRIFT = 0.001;

interface OpenSlot {
  /** When Redis was last asked to keep the slot, on the monotonic clock. */
  keptAt: number;
}

/** A budget window that all instances share over Redis. See the table above for faults. */
export class RedisWindow implements BudgetWindow, Member {
  readonly #options: RedisWindowOptions;
  readonly #channel: string;
  readonly #name: string;
  readonly #unsettledMs: number;
  readonly #settledMs: number;
  readonly #log: SlotLog;
  /** The settled slots of the log, of all instances. Redis must hold them until they expire. */
  readonly #settled: SlotLog;
  readonly #open = new Map<string, OpenSlot>();
  /** Slots that Redis gave, or may still give, but whose answer could not be used. */
  readonly #abandoned: SlotLog;
  readonly #leave: () => void;
  /** Whether the log is complete: read from Redis at the start, and without missed messages since. */
  #isInformed = false;
  #alone: LocalWindow;
  /** The limit of this instance when all instances have lost Redis. */
  #share = 1;
  /** When Redis disconnected, and when slots may be given alone; on the monotonic clock. */
  #disconnectedAt: number | null = null;
  #aloneFrom = -Infinity;
  /** Counts disconnects, so that an answer from before one is not used after it. */
  #disconnectCount = 0;
  /** The end of the pause that upstream asked any instance for, on the monotonic clock. */
  #pausedUntil = -Infinity;
  #isResyncing = false;
  /** The last number of free slots from Redis, and when. Estimates do not need a fresh value. */
  #seen: { free: number; at: number };
  #cancelKeeping: (() => void) | null = null;

  constructor(name: string, options: RedisWindowOptions) {
    const { connection, clock, limits, maxRequestMs } = options;
    this.#options = options;
    this.#name = name;
    this.#channel = CHANNELS.budget(name);
    this.#unsettledMs = maxRequestMs + limits.windowMs;
    this.#settledMs = limits.windowMs + Math.ceil(limits.windowMs * DRIFT);
    this.#log = new SlotLog(clock);
    this.#settled = new SlotLog(clock);
    this.#abandoned = new SlotLog(clock);
    this.#alone = new LocalWindow(limits, clock);
    this.#seen = { free: limits.limit, at: -Infinity };
    const subscription = connection.subscribe(this.#channel, message => {
      const [id = '', ms] = message.toString().split(' ');
      if (id === PAUSE_WORD) this.#notePause(Number(ms));
      else this.#note(id, Number(ms));
      // Redis may run a command that it had not read at the disconnect. Its slot is given back.
      if (Number(ms) > 0 && this.#abandoned.has(id)) this.#giveBack([id]);
    });
    const leave = connection.join(this);
    this.#leave = () => {
      subscription.leave();
      leave();
    };
    if (connection.isDisconnected) this.onDisconnect({ mayHaveMissed: true });
    // After the subscription, messages about slots arrive. If it fails, Redis is disconnected and `resync`
    // runs later.
    else subscription.joined.then(() => this.resync()).catch(() => {});
  }

  async take({ isProvisional } = { isProvisional: false }): Promise<Take> {
    const { connection, limits, clock } = this.#options;
    if (this.#isResyncing) return { retryInMs: RESYNC_RETRY_MS };
    if (connection.isDisconnected) return this.#takeAlone(isProvisional);
    const pausedMs = this.#pausedUntil - clock.monotonic();
    if (pausedMs > 0) return { retryInMs: pausedMs };
    const id = randomUUID();
    const { slots, pause, last } = connection.keys.budget(this.#name);
    const { settling, instances, reserved } = connection.keys;
    const burst = Math.floor(limits.limit * BURST_SHARE);
    const unsureMs = Math.max(UNSURE_MS, limits.windowMs / 2);
    const due = this.#settled.taken().filter(([, freeInMs]) => freeInMs > unsureMs).length;
    const [disconnects, askedAt] = [this.#disconnectCount, clock.monotonic()];
    try {
      const answer = await connection.run(
        'take',
        [slots, pause, last, settling, instances, reserved],
        [
          limits.limit,
          limits.windowMs,
          burst,
          id,
          this.#unsettledMs,
          this.#channel,
          due,
          Number(isProvisional),
        ],
      );
      const [isTaken, retryInMs = 0, free = 0, pausedForMs = 0, now = 0] = answer as number[];
      const isSteady = connection.isClockSteady(now, askedAt);
      if (isTaken === 1 && (!isSteady || disconnects !== this.#disconnectCount)) this.#abandon(id);
      if (!isSteady || disconnects !== this.#disconnectCount)
        return { retryInMs: RETRY_AT_ONCE_MS };
      this.#seen = { free, at: clock.monotonic() };
      this.#notePause(pausedForMs);
      return isTaken === 1 ? { slot: this.#openSlot(id, askedAt) } : { retryInMs };
    } catch {
      this.#abandon(id);
      return { retryInMs: RETRY_AT_ONCE_MS };
    }
  }

  pause(forMs: number): void {
    this.#notePause(forMs);
    if (!this.#options.connection.isDisconnected || this.#isResyncing)
      this.#pauseAll(forMs).catch(() => {});
  }

  outlook() {
    const { connection, clock, limits } = this.#options;
    const now = clock.monotonic();
    const { instances } = connection;
    if (connection.isDisconnected) {
      const { free, pausedForMs } = this.#alone.outlook();
      return { free, pausedForMs: Math.max(pausedForMs, this.#aloneFrom - now), instances };
    }
    const { free, at } = this.#seen;
    return {
      free: now - at > limits.windowMs ? limits.limit : free,
      pausedForMs: Math.max(0, this.#pausedUntil - now),
      instances,
    };
  }

  close(): void {
    this.#cancelKeeping?.();
    this.#leave();
  }

  onDisconnect({ mayHaveMissed }: { mayHaveMissed: boolean }): void {
    this.#isResyncing = false;
    // Redis disconnected again before the resync was complete, so the current local window stays in use.
    if (this.#disconnectedAt !== null) return;
    const { connection, limits, clock } = this.#options;
    const { instances } = connection;
    if (mayHaveMissed) this.#isInformed = false;
    // Each other instance may have taken one slot whose message did not arrive here.
    const unheard = Array.from({ length: instances - 1 }, () => this.#unsettledMs);
    // The known slots are divided among the instances: of each group of `instances` slots, the one that is
    // free last is charged to this instance.
    const charged = [...unheard, ...this.#log.taken().map(([, freeInMs]) => freeInMs)]
      .toSorted((one, other) => other - one)
      .filter((_, place) => place % instances === 0);
    this.#disconnectCount++;
    this.#disconnectedAt = clock.monotonic();
    this.#aloneFrom = this.#disconnectedAt + limits.windowMs + NOTICED_AFTER_MS;
    const tenth = Math.ceil(limits.limit / CUT_OFF_DIVISOR);
    const cutOff = Math.max(1, Math.floor(limits.limit / Math.max(CUT_OFF_DIVISOR, instances)));
    this.#share = connection.isCounted
      ? Math.max(1, Math.floor((limits.limit - tenth) / instances))
      : cutOff;
    this.#alone = new LocalWindow({ ...limits, limit: cutOff }, clock, charged);
    this.#alone.pause(this.#pausedUntil - clock.monotonic());
  }

  onServerDown(): void {
    if (this.#disconnectedAt === null) return;
    // If the log is incomplete, wait until all slots from before the disconnect have expired.
    const graceMs = this.#isInformed ? RECONNECT_GRACE_MS : this.#options.limits.windowMs;
    this.#aloneFrom = Math.min(this.#aloneFrom, this.#disconnectedAt + graceMs);
    this.#alone.limit = this.#share;
  }

  async resync(): Promise<void> {
    const { connection, limits, clock, maxRequestMs } = this.#options;
    this.#isResyncing = connection.isDisconnected;
    const pausedForMs = this.#pausedUntil - clock.monotonic();
    if (pausedForMs > 0) await this.#pauseAll(pausedForMs);
    const { slots, pause } = connection.keys.budget(this.#name);
    const known = this.#log.taken().flatMap(([id, freeInMs]) => [id, Math.ceil(freeInMs)]);
    const all = await connection.run(
      'share',
      [slots, pause],
      [maxRequestMs + 2 * limits.windowMs, this.#channel, ...known],
    );
    const [pausedMs = 0, ...taken] = all as (string | number)[];
    this.#notePause(Number(pausedMs));
    for (let place = 0; place < taken.length; place += 2)
      this.#log.put(String(taken[place]), Number(taken[place + 1]));
    const abandoned = this.#abandoned.taken().map(([id]) => id);
    if (abandoned.length > 0) await this.#cancelAll(abandoned);
    this.#isInformed = true;
  }

  onReconnect(): void {
    this.#isResyncing = false;
    this.#disconnectedAt = null;
  }

  #takeAlone(isProvisional: boolean): Take {
    const { clock } = this.#options;
    const untilAloneMs = this.#aloneFrom - clock.monotonic();
    if (untilAloneMs > 0) return { retryInMs: Math.min(untilAloneMs, ALONE_RETRY_MS) };
    const taken = this.#alone.take({ isProvisional });
    if (!('slot' in taken)) return taken;
    return { slot: this.#openSlot(randomUUID(), clock.monotonic(), taken.slot) };
  }

  async #pauseAll(forMs: number): Promise<void> {
    const { connection } = this.#options;
    const { pause } = connection.keys.budget(this.#name);
    await connection.run('pause', [pause], [Math.ceil(forMs), this.#channel]);
  }

  #notePause(forMs: number): void {
    const { connection, clock } = this.#options;
    this.#pausedUntil = Math.max(this.#pausedUntil, clock.monotonic() + forMs);
    if (connection.isDisconnected) this.#alone.pause(forMs);
  }

  /** `alone` is the slot of the local window, if Redis did not give it. */
  #openSlot(id: string, takenAt: number, alone?: Slot): Slot {
    const { connection, clock, maxRequestMs } = this.#options;
    const open: OpenSlot = { keptAt: takenAt };
    this.#open.set(id, open);
    this.#note(id, this.#unsettledMs);
    this.#keepOpen();
    const close = (freeInMs: number, write: () => Promise<unknown>) => {
      if (!this.#open.delete(id)) return;
      this.#note(id, freeInMs);
      // If Redis is disconnected, `resync` writes it later.
      if (!connection.isDisconnected || this.#isResyncing) write().catch(() => {});
    };
    return {
      isValid: () => alone?.isValid() ?? clock.monotonic() < open.keptAt + maxRequestMs,
      settle: () => {
        alone?.settle();
        close(this.#settledMs, () => this.#settle(id));
      },
      cancel: () => {
        alone?.cancel();
        close(0, () => this.#cancelAll([id]));
      },
    };
  }

  /** Renews slots of open requests. Otherwise they would expire like those of an instance that died. */
  #keepOpen(): void {
    const { connection, clock, maxRequestMs } = this.#options;
    if (this.#cancelKeeping !== null || this.#open.size === 0) return;
    this.#cancelKeeping = clock.after(maxRequestMs / 2, () => {
      this.#cancelKeeping = null;
      const now = clock.monotonic();
      const kept = [...this.#open].filter(([, { keptAt }]) => now < keptAt + maxRequestMs);
      for (const [id] of kept) this.#note(id, this.#unsettledMs);
      const noteKept = () => {
        for (const [, open] of kept) open.keptAt = now;
      };
      if (connection.isDisconnected) noteKept();
      else if (kept.length > 0)
        this.#keep(kept.map(([id]) => id))
          .then(noteKept)
          .catch(() => {});
      this.#keepOpen();
    });
  }

  #note(id: string, freeInMs: number): void {
    this.#log.put(id, freeInMs);
    if (freeInMs === this.#settledMs) this.#settled.put(id, freeInMs);
  }

  #abandon(id: string): void {
    this.#abandoned.put(id, this.#unsettledMs);
    this.#giveBack([id]);
  }

  #giveBack(ids: readonly string[]): void {
    // If Redis is disconnected, `resync` gives them back.
    if (!this.#options.connection.isDisconnected) this.#cancelAll(ids).catch(() => {});
  }

  async #settle(id: string): Promise<void> {
    const { connection } = this.#options;
    const { slots } = connection.keys.budget(this.#name);
    await connection.run('settle', [slots], [id, this.#settledMs, this.#channel]);
  }

  async #keep(ids: readonly string[]): Promise<void> {
    const { connection } = this.#options;
    const { slots } = connection.keys.budget(this.#name);
    await connection.run('keep', [slots], [this.#unsettledMs, this.#channel, ...ids]);
  }

  async #cancelAll(ids: readonly string[]): Promise<void> {
    const { connection } = this.#options;
    const { slots } = connection.keys.budget(this.#name);
    await connection.run('cancel', [slots], [this.#channel, ...ids]);
  }
}
