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
 * The window that all instances spend from, counted by Redis. Each instance also keeps a log of the slots
 * that all of them took, on its own clock. When Redis is lost, each goes on inside its share of what that
 * log leaves; when it is back, each first reports what it knows.
 *
 *   state      gives slots                                  entered when
 *   connected  of Redis                                     all members have reported (onRejoined)
 *   waiting    none, until `#aloneFrom`                     Redis is lost (onLost), or it starts so: a window
 *                                                           and the time in which the others notice
 *   cut off    a tenth of the limit, which the others       `#aloneFrom` has passed, and others may still
 *              leave to an instance that is silent          share: Redis hangs, or only this one has lost it
 *   alone      its share: the limit less a tenth, divided   nothing listens at the address (onVanished), so
 *              by the instances known                       all have lost it; at the latest a second after
 *                                                           the loss, a window after it if the log has gaps
 *   reporting  none                                         Redis is back (report); a fault → as before it
 *
 * An instance that starts while Redis is down, or that the others have not counted yet, has no share that
 * they leave to it: it stays at the tenth that all of them leave free.
 *
 * A slot is counted from before its request is sent until a window after upstream answered. So no window
 * at upstream holds more than the limit, unless slots come free too soon. What might make them:
 *
 *   the request takes longer than it should      the slot is kept while it is open (`keep`)
 *   the process is stopped before it sends       `isValid` is false: the slot is not to be used
 *   the answer to `take` is lost                 the slot is given back at the report; until then it counts
 *   Redis is lost while `take` is answered       the slot is not used, because the share was made without it
 *   the clock of Redis is set, or another        each answer is compared with the monotonic clock; a new
 *   server with another clock takes over         generation begins from what the instances report
 *   a flush, a restart without data              the generation is gone; likewise
 *   an eviction, writes lost in a failover       fewer slots than were settled (`FORGOTTEN`), or a new
 *                                                session; all report what they know
 *   an instance dies with a slot                 the slot expires after the longest request and a window
 *
 * What remains: an instance that is cut off by itself for longer than ten minutes; two masters at once, for
 * as long as clients write to both (`min-replicas-to-write` prevents it); fewer slots than instances.
 */

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
// A settled slot is looked for in Redis while it must be there, however late the script runs or the message
// of the slot was read here: for so long, or half a window if that is longer, it may have expired.
const UNSURE_MS = 1_500;
// Two clocks drift apart: a settled slot is kept for this share of a window more.
const DRIFT = 0.001;

interface OpenSlot {
  /** When Redis was last asked to keep it, on the monotonic clock. */
  keptAt: number;
}

export class RedisWindow implements BudgetWindow, Member {
  readonly #options: RedisWindowOptions;
  readonly #channel: string;
  readonly #name: string;
  readonly #unsettledMs: number;
  readonly #settledMs: number;
  readonly #log: SlotLog;
  /** Those of the log that were settled, by whichever instance: nothing but time takes them out of Redis. */
  readonly #settled: SlotLog;
  readonly #open = new Map<string, OpenSlot>();
  /** Slots that Redis may have given, or may yet give, without its answer being of use. */
  readonly #abandoned: SlotLog;
  readonly #leave: () => void;
  /** Whether the log has what was spent before it was begun, and since. */
  #isInformed = false;
  #alone: LocalWindow;
  /** The limit of this instance once it is known that all have lost Redis. */
  #share = 1;
  /** Since when Redis is lost, and from when on something may be spent alone; on the monotonic clock. */
  #lostAt: number | null = null;
  #aloneFrom = -Infinity;
  /** Counts losses, so that an answer of before one is not used after it. */
  #losses = 0;
  /** Until when upstream said that nothing is to be sent, to whichever instance; on the monotonic clock. */
  #pausedUntil = -Infinity;
  #isReporting = false;
  /** What Redis said last, and when: the forecast need not be fresh. */
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
      // Given late: what Redis had not read when it was lost, it may run afterwards.
      if (Number(ms) > 0 && this.#abandoned.has(id)) this.#giveBack([id]);
    });
    const leave = connection.join(this);
    this.#leave = () => {
      subscription.leave();
      leave();
    };
    if (connection.isLost) this.onLost({ isDeaf: true });
    // Once it is joined, what is spent is heard. Where it fails Redis is lost, and found again.
    else subscription.joined.then(() => this.report()).catch(() => {});
  }

  async take({ isProvisional } = { isProvisional: false }): Promise<Take> {
    const { connection, limits, clock } = this.#options;
    if (this.#isReporting) return { retryInMs: REPORT_RETRY_MS };
    if (connection.isLost) return this.#takeAlone(isProvisional);
    const pausedMs = this.#pausedUntil - clock.monotonic();
    if (pausedMs > 0) return { retryInMs: pausedMs };
    const id = randomUUID();
    const { slots, pause, last } = connection.keys.budget(this.#name);
    const { settling, instances, reserved } = connection.keys;
    const burst = Math.floor(limits.limit * BURST_SHARE);
    const unsureMs = Math.max(UNSURE_MS, limits.windowMs / 2);
    const due = this.#settled.taken().filter(([, freeInMs]) => freeInMs > unsureMs).length;
    const [losses, askedAt] = [this.#losses, clock.monotonic()];
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
      if (isTaken === 1 && (!isSteady || losses !== this.#losses)) this.#abandon(id);
      if (!isSteady || losses !== this.#losses) return { retryInMs: RETRY_AT_ONCE_MS };
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
    if (!this.#options.connection.isLost || this.#isReporting)
      this.#pauseAll(forMs).catch(() => {});
  }

  outlook() {
    const { connection, clock, limits } = this.#options;
    const now = clock.monotonic();
    const { instances } = connection;
    if (connection.isLost) {
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

  onLost({ isDeaf }: { isDeaf: boolean }): void {
    this.#isReporting = false;
    // Found and lost again before anything was shared: what was begun alone goes on.
    if (this.#lostAt !== null) return;
    const { connection, limits, clock } = this.#options;
    const { instances } = connection;
    if (isDeaf) this.#isInformed = false;
    // Each of the others may have taken one more that this instance did not hear of.
    const unheard = Array.from({ length: instances - 1 }, () => this.#unsettledMs);
    // Of as many slots as there are instances, the last to come free is charged to each.
    const charged = [...unheard, ...this.#log.taken().map(([, freeInMs]) => freeInMs)]
      .toSorted((one, other) => other - one)
      .filter((_, place) => place % instances === 0);
    this.#losses++;
    this.#lostAt = clock.monotonic();
    this.#aloneFrom = this.#lostAt + limits.windowMs + NOTICED_AFTER_MS;
    const tenth = Math.ceil(limits.limit / CUT_OFF_DIVISOR);
    const cutOff = Math.max(1, Math.floor(limits.limit / Math.max(CUT_OFF_DIVISOR, instances)));
    this.#share = connection.isCounted
      ? Math.max(1, Math.floor((limits.limit - tenth) / instances))
      : cutOff;
    this.#alone = new LocalWindow({ ...limits, limit: cutOff }, clock, charged);
    this.#alone.pause(this.#pausedUntil - clock.monotonic());
  }

  onVanished(): void {
    if (this.#lostAt === null) return;
    // Without a complete log, what was spent before the loss is not known here.
    const graceMs = this.#isInformed ? RECONNECT_GRACE_MS : this.#options.limits.windowMs;
    this.#aloneFrom = Math.min(this.#aloneFrom, this.#lostAt + graceMs);
    this.#alone.limit = this.#share;
  }

  async report(): Promise<void> {
    const { connection, limits, clock, maxRequestMs } = this.#options;
    this.#isReporting = connection.isLost;
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

  onRejoined(): void {
    this.#isReporting = false;
    this.#lostAt = null;
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
    if (connection.isLost) this.#alone.pause(forMs);
  }

  /** `alone` is the same slot in the window of this instance, where Redis did not give it. */
  #openSlot(id: string, takenAt: number, alone?: Slot): Slot {
    const { connection, clock, maxRequestMs } = this.#options;
    const open: OpenSlot = { keptAt: takenAt };
    this.#open.set(id, open);
    this.#note(id, this.#unsettledMs);
    this.#keepOpen();
    const close = (freeInMs: number, write: () => Promise<unknown>) => {
      if (!this.#open.delete(id)) return;
      this.#note(id, freeInMs);
      // Reported later, where Redis is lost.
      if (!connection.isLost || this.#isReporting) write().catch(() => {});
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

  /** Keeps slots of requests that are still under way; without that, they would expire like those of the dead. */
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
      if (connection.isLost) noteKept();
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
    // At the report, where Redis is lost.
    if (!this.#options.connection.isLost) this.#cancelAll(ids).catch(() => {});
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
