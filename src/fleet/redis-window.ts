import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { BudgetLimits, BudgetWindow, Slot, Take } from './fleet.ts';
import type { RedisConnection } from './redis-connection.ts';
import type { RedisMember } from './redis-member.ts';
import { RedisSlots } from './redis-slots.ts';
import { PAUSE_WORD } from './scripts.ts';
import { SlotLog } from './slot-log.ts';
import { StandaloneWindow } from './standalone-window.ts';

/*
 * The window that all instances take slots from, counted by Redis. Each instance also keeps a log of all
 * slots that were taken, on its own clock. When Redis is disconnected, each instance gives slots from its
 * standalone window, within its share of what the log leaves. When Redis is back, each first writes what it
 * knows (`resync`).
 *
 *   state       gives slots                                 entered when
 *   connected   from Redis                                  all members have resynced (onReconnect)
 *   waiting     none                                        Redis is disconnected, also at a start (onDisconnect).
 *                                                           Lasts for a window, plus the time in which the other
 *                                                           instances notice
 *   cut off     a tenth of the limit, which the others      the wait is over, and the others may still use Redis:
 *               leave to an instance that is silent         it hangs, or only this instance lost it
 *   standalone  its share: the limit less a tenth, divided  nothing listens at the address (onServerDown), so all
 *               by the number of known instances            instances have lost it; a second after the disconnect,
 *                                                           or a window after it if the log has gaps
 *   resyncing   none                                        Redis is back (resync); an error → the state before
 *
 * The others leave no share to an instance that starts while Redis is down or that they have not
 * counted yet. Such an instance stays at the tenth that all of them leave free.
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
 * Not covered: an instance that is cut off for more than ten minutes; two masters at the same time, for as
 * long as clients write to both (`min-replicas-to-write` prevents it); fewer slots than instances.
 */

export interface RedisWindowOptions {
  connection: RedisConnection;
  limits: BudgetLimits;
  clock: Clock;
  /** The maximum milliseconds of a request, from its slot to its answer. */
  maxRequestMs: number;
}

// Redis has just disconnected, so the standalone window answers the next attempt.
const IMMEDIATE_RETRY_MS = 1;
const RESYNC_RETRY_MS = 20;
// A settled slot must still be in Redis until its last moments: within this time of its expiry, or
// half a window if that is longer, a slow script or message may make it look missing.
const UNSURE_MS = 1_500;
// Settled slots are kept longer by this share of a window, because clocks drift.
const DRIFT = 0.001;

interface OpenSlot {
  /** When the slot was last renewed in Redis, on the monotonic clock. */
  keptAt: number;
}

/** A budget window that all instances share over Redis. See the table above for faults. */
export class RedisWindow implements BudgetWindow, RedisMember {
  readonly #options: RedisWindowOptions;
  readonly #unsettledMs: number;
  readonly #settledMs: number;
  readonly #redis: RedisSlots;
  readonly #standalone: StandaloneWindow;
  readonly #log: SlotLog;
  /** The settled slots of the log, of all instances. Redis must hold them until they expire. */
  readonly #settled: SlotLog;
  readonly #open = new Map<string, OpenSlot>();
  /** Slots that Redis gave, or may still give, but whose answer could not be used. */
  readonly #abandoned: SlotLog;
  readonly #leave: () => void;
  /**
   * Whether the log is complete: read from Redis at the start, and without missed messages since.
   */
  #isInformed = false;
  /** Counts disconnects, so that an answer from before one is not used after it. */
  #disconnectCount = 0;
  /** The end of the pause that upstream requested from any instance, on the monotonic clock. */
  #pausedUntil = -Infinity;
  #isResyncing = false;
  /** The last number of free slots from Redis, and when. Estimates do not need a fresh value. */
  #seen: { free: number; at: number };
  #cancelKeeping: (() => void) | null = null;

  constructor(name: string, options: RedisWindowOptions) {
    const { connection, clock, limits, maxRequestMs } = options;
    this.#options = options;
    this.#unsettledMs = maxRequestMs + limits.windowMs;
    this.#settledMs = limits.windowMs + Math.ceil(limits.windowMs * DRIFT);
    const [unsettledMs, settledMs] = [this.#unsettledMs, this.#settledMs];
    this.#redis = new RedisSlots(name, { connection, limits, unsettledMs, settledMs });
    this.#standalone = new StandaloneWindow(limits, clock);
    this.#log = new SlotLog(clock);
    this.#settled = new SlotLog(clock);
    this.#abandoned = new SlotLog(clock);
    this.#seen = { free: limits.limit, at: -Infinity };
    const subscription = connection.subscribe(this.#redis.channel, message => {
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
    // After the subscription, messages about slots arrive. If it fails, Redis is disconnected and
    // `resync` runs later.
    else subscription.joined.then(() => this.resync()).catch(() => {});
  }

  async take({ isProvisional } = { isProvisional: false }): Promise<Take> {
    const { connection, limits, clock } = this.#options;
    if (this.#isResyncing) return { retryInMs: RESYNC_RETRY_MS };
    if (connection.isDisconnected) return this.#takeStandalone(isProvisional);
    const pausedMs = this.#pausedUntil - clock.monotonic();
    if (pausedMs > 0) return { retryInMs: pausedMs };
    const id = randomUUID();
    const unsureMs = Math.max(UNSURE_MS, limits.windowMs / 2);
    const settledCount = this.#settled.taken().filter(([, freeInMs]) => freeInMs > unsureMs).length;
    const [disconnects, sentAt] = [this.#disconnectCount, clock.monotonic()];
    try {
      const answer = await this.#redis.take(id, settledCount, isProvisional);
      const isUsable =
        connection.isClockSteady(answer.now, sentAt) && disconnects === this.#disconnectCount;
      if (answer.isTaken && !isUsable) this.#abandon(id);
      if (!isUsable) return { retryInMs: IMMEDIATE_RETRY_MS };
      this.#seen = { free: answer.free, at: clock.monotonic() };
      this.#notePause(answer.pausedForMs);
      return answer.isTaken
        ? { slot: this.#openSlot(id, sentAt) }
        : { retryInMs: answer.retryInMs };
    } catch {
      this.#abandon(id);
      return { retryInMs: IMMEDIATE_RETRY_MS };
    }
  }

  pause(forMs: number): void {
    this.#notePause(forMs);
    if (!this.#options.connection.isDisconnected || this.#isResyncing)
      this.#redis.pause(forMs).catch(() => {});
  }

  outlook() {
    const { connection, clock, limits } = this.#options;
    const now = clock.monotonic();
    const { instances } = connection;
    if (connection.isDisconnected) return { ...this.#standalone.outlook(), instances };
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
    // If Redis disconnects again before the resync was complete, the standalone window stays in
    // use.
    if (this.#standalone.isActive) return;
    const { connection, clock } = this.#options;
    const { instances, isCounted } = connection;
    if (mayHaveMissed) this.#isInformed = false;
    // Each other instance may have taken one slot whose message did not arrive here.
    const unreported = Array.from({ length: instances - 1 }, () => this.#unsettledMs);
    this.#disconnectCount++;
    this.#standalone.begin({
      instances,
      isCounted,
      takenMs: [...unreported, ...this.#log.taken().map(([, freeInMs]) => freeInMs)],
      pausedForMs: this.#pausedUntil - clock.monotonic(),
    });
  }

  onServerDown(): void {
    this.#standalone.onServerDown({ isInformed: this.#isInformed });
  }

  async resync(): Promise<void> {
    const { connection, clock } = this.#options;
    this.#isResyncing = connection.isDisconnected;
    const pausedForMs = this.#pausedUntil - clock.monotonic();
    if (pausedForMs > 0) await this.#redis.pause(pausedForMs);
    const known = await this.#redis.share(this.#log.taken());
    this.#notePause(known.pausedForMs);
    for (const [id, freeInMs] of known.taken) this.#log.put(id, freeInMs);
    const abandoned = this.#abandoned.taken().map(([id]) => id);
    if (abandoned.length > 0) await this.#redis.cancel(abandoned);
    this.#isInformed = true;
  }

  onReconnect(): void {
    this.#isResyncing = false;
    this.#standalone.end();
  }

  #takeStandalone(isProvisional: boolean): Take {
    const taken = this.#standalone.take(isProvisional);
    if (!('slot' in taken)) return taken;
    return { slot: this.#openSlot(randomUUID(), this.#options.clock.monotonic(), taken.slot) };
  }

  #notePause(forMs: number): void {
    const { connection, clock } = this.#options;
    this.#pausedUntil = Math.max(this.#pausedUntil, clock.monotonic() + forMs);
    if (connection.isDisconnected) this.#standalone.pause(forMs);
  }

  /** `standalone` is the slot of the standalone window, if Redis did not give it. */
  #openSlot(id: string, takenAt: number, standalone?: Slot): Slot {
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
      isValid: () => standalone?.isValid() ?? clock.monotonic() < open.keptAt + maxRequestMs,
      settle: () => {
        standalone?.settle();
        close(this.#settledMs, () => this.#redis.settle(id));
      },
      cancel: () => {
        standalone?.cancel();
        close(0, () => this.#redis.cancel([id]));
      },
    };
  }

  /** Renews the slots of open requests periodically, because they expire. */
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
        this.#redis
          .keep(kept.map(([id]) => id))
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
    if (!this.#options.connection.isDisconnected) this.#redis.cancel(ids).catch(() => {});
  }
}
