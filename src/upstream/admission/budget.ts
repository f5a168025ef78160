import type { Signal } from '../../signal.ts';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { BURST_SHARE, type BudgetLimits, type BudgetWindow, type Slot } from '../../fleet/fleet.ts';
import { AnswerTime } from './answer-time.ts';
import {
  CALLER_LANES,
  type CallerLane,
  LANES,
  type Lane,
  type PollLane,
  createLanes,
} from './lanes.ts';
import { Pace } from './pace.ts';
import { type TrialSlot, createTrialSlots } from './trial-slots.ts';
import type { QueueRequest } from './address-queue.ts';

/**
 * A request for a slot. A caller needs its answer within `maxWaitMs` milliseconds. A poll has no
 * such limit: it waits until it gets a slot, is aborted, or the gateway closes.
 */
export type SlotRequest = {
  /** Callers in one lane are served round robin. Undefined: no particular caller. */
  caller?: string | undefined;
  signal?: Signal | undefined;
} & ({ lane: CallerLane; maxWaitMs: number } | { lane: PollLane });

/** Grants slots for requests, in a fair order and never more than upstream allows. */
export interface Budget {
  /**
   * Rejects with RATE_LIMITED as soon as it is known that no slot will come in time; never for
   * polls. Rejects with the signal's reason when that aborts.
   */
  acquire(request: SlotRequest): Promise<Slot>;
  /**
   * A slot for a token that upstream has not accepted yet. It does not wait in the lanes. Rejects
   * as `acquire` does.
   */
  acquireTrial(request: QueueRequest): Promise<TrialSlot>;
  /** Records the duration of an attempt, from its slot to its last byte. */
  recordAnswerTime(ms: number): void;
  /** Grants no slot for so many milliseconds, and refuses callers who cannot wait that long. */
  pause(forMs: number): void;
  /** The part of the budget that is spent, 0–1; 1 while a caller waits. */
  pressure(): number;
  /**
   * The spent part of the budget, the number of waiting requests by lane, and what is left of a
   * pause.
   */
  load(): BudgetLoad;
  /** Whether no request waits and every slot is free. */
  isIdle(): boolean;
  close(): void;
}

export interface BudgetLoad {
  used: number;
  waiting: Readonly<Record<Lane, number>>;
  pausedForMs: number;
}

interface Waiter {
  lane: Lane;
  caller: string;
  /** The last moment, on the monotonic clock, when a slot still leaves time for the answer. */
  latestGrantAt(): number;
  grant(slot: Slot): void;
  refuse(error: unknown): void;
}

// A request is queued only if it is forecast to get a slot with a tenth of its time left. The
// forecast may be slightly wrong, so a queued request is served as long as there is time for an
// answer at all.
const SPARE_SHARE = 0.1;
// However slow upstream is, a caller may wait half of its time for a slot.
const MAX_ANSWER_SHARE = 0.5;
// More waiting requests of one caller would only take memory.
const MAX_WAITING_PER_CALLER = 200;
const NO_CALLER = '';

/**
 * The queue in front of a window.
 *
 * Lanes share slots by weight, and callers within a lane are served round robin (see lanes.ts). A
 * request gets its slot early enough to be answered, or is refused with the time when a slot will
 * be free. That time is forecast from the number of requests ahead of it in its lane, the share of
 * slots that its lane gets beside other busy lanes, and the pace at which slots have become free.
 */
export function createBudget(window: BudgetWindow, limits: BudgetLimits, clock: Clock): Budget {
  const { limit, windowMs } = limits;
  const lanes = createLanes<Waiter>();
  const answerTime = new AnswerTime();
  const pace = new Pace(limits, clock);
  const trials = createTrialSlots(window, limits, clock);
  let isTaking = false;
  let isClosed = false;
  /** Whether requests were already waiting before the last attempt to take a slot. */
  let hadWaiters = false;
  /** The timer for the next slot, after the window said when it will be free. */
  let nextSlot: { at: number; cancel: () => void } | null = null;

  return {
    acquire,
    acquireTrial(request) {
      if (isClosed) throw closed();
      return trials.acquire(request);
    },
    recordAnswerTime: ms => answerTime.add(ms),
    pause(forMs) {
      window.pause(forMs);
      pace.interrupt();
      refuseLate();
    },
    pressure() {
      if (lanes.size('interactive') + lanes.size('aggregation') > 0) return 1;
      const { free, pausedForMs } = window.outlook();
      return pausedForMs > 0 ? 1 : 1 - Math.max(0, free) / limit;
    },
    load() {
      const { free, pausedForMs } = window.outlook();
      const waiting = Object.fromEntries(LANES.map(lane => [lane, lanes.size(lane)]));
      const used = 1 - Math.max(0, free) / limit;
      return { used, waiting: waiting as Record<Lane, number>, pausedForMs };
    },
    isIdle() {
      const { free, pausedForMs } = window.outlook();
      return lanes.total === 0 && trials.isIdle() && free === limit && pausedForMs === 0;
    },
    close() {
      isClosed = true;
      nextSlot?.cancel();
      trials.close();
      for (const lane of LANES) for (const waiter of lanes.of(lane)) waiter.refuse(closed());
      window.close();
    },
  };

  function acquire(request: SlotRequest): Promise<Slot> {
    return new Promise<Slot>((resolve, reject) => {
      const { lane, signal, caller = NO_CALLER } = request;
      signal?.throwIfAborted();
      if (isClosed) throw closed();
      const maxWaitMs = 'maxWaitMs' in request ? request.maxWaitMs : Infinity;
      const answerBy = clock.monotonic() + maxWaitMs;
      const answerMs = () => Math.min(answerTime.upperBoundMs, maxWaitMs * MAX_ANSWER_SHARE);
      if (maxWaitMs < Infinity) {
        const waitMs = forecastMs(lane, lanes.ahead(lane, caller));
        const spareMs = Math.max(answerMs(), maxWaitMs * SPARE_SHARE);
        const isQueueFull =
          caller !== NO_CALLER && lanes.waiting(lane, caller) >= MAX_WAITING_PER_CALLER;
        if (isQueueFull || waitMs > maxWaitMs - spareMs) throw rateLimited(waitMs);
      }

      const leave = () => {
        lanes.delete(waiter);
        cancelTimer?.();
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        lane,
        caller,
        latestGrantAt: () => answerBy - answerMs(),
        grant(slot) {
          leave();
          resolve(slot);
        },
        refuse(error) {
          leave();
          reject(error);
        },
      };
      const onAbort = () => waiter.refuse(signal?.reason);
      const cancelTimer =
        maxWaitMs < Infinity
          ? clock.after(maxWaitMs - answerMs(), () =>
              waiter.refuse(rateLimited(forecastMs(lane, lanes.ahead(lane, caller)))),
            )
          : null;
      signal?.addEventListener('abort', onAbort);
      lanes.add(waiter);
      void serve();
    });
  }

  /** Takes slots while requests wait. If none is free, continues when one is. */
  async function serve(): Promise<void> {
    if (isTaking || nextSlot !== null) return;
    isTaking = true;
    while (lanes.total > 0 && nextSlot === null) {
      const take = await window.take();
      if ('slot' in take) grant(take.slot);
      else waitForSlot(Math.max(1, Math.ceil(take.retryInMs)));
    }
    isTaking = false;
    hadWaiters = lanes.total > 0;
  }

  function waitForSlot(ms: number): void {
    if (isClosed) return;
    const now = clock.monotonic();
    lanes.recordWait(now);
    const cancel = clock.after(ms, () => {
      nextSlot = null;
      void serve();
    });
    nextSlot = { at: now + ms, cancel };
    // Requests that came before the window answered were queued without a good forecast: check them
    // again.
    if (!hadWaiters) refuseLate();
  }

  /**
   * Grants the slot to the next request that can still be answered. Returns it to the window if
   * there is none.
   */
  function grant(slot: Slot): void {
    const now = clock.monotonic();
    for (let next = lanes.next(); next !== undefined; next = lanes.next()) {
      if (now <= next.latestGrantAt()) {
        next.grant(slot);
        pace.recordSlot(lanes.total > 0);
        return;
      }
      next.refuse(rateLimited(forecastMs(next.lane, lanes.ahead(next.lane, next.caller))));
    }
    slot.cancel();
  }

  function refuseLate(): void {
    const now = clock.monotonic();
    for (const lane of CALLER_LANES) {
      let ahead = 0;
      for (const waiter of lanes.of(lane)) {
        const waitMs = forecastMs(lane, ahead);
        if (now + waitMs > waiter.latestGrantAt()) waiter.refuse(rateLimited(waitMs));
        else if (lane !== 'token') ahead++;
      }
    }
  }

  /** Milliseconds until a request gets a slot that has so many requests ahead of it in its lane. */
  function forecastMs(lane: Lane, ahead: number): number {
    const now = clock.monotonic();
    const { free, pausedForMs } = window.outlook();
    /** Slots that are granted until then, its own included. */
    const turns = (ahead + 1) / lanes.shareOf(lane, now - windowMs);
    if (nextSlot !== null && pausedForMs === 0)
      return Math.max(0, nextSlot.at - now) + (turns - 1) * pace.msPerSlot;
    // Assume that a first request gets a free slot immediately; only the window knows exactly.
    if (pausedForMs === 0 && ahead === 0 && free > 0) return 0;
    const freeThen = pausedForMs >= windowMs ? limit : free;
    // The window grants these slots at once; it spreads only the last ones over time.
    const atOnce = Math.max(0, Math.ceil(freeThen - limit * (1 - BURST_SHARE)));
    return pausedForMs + Math.max(0, turns - atOnce) * pace.msPerSlot;
  }
}

function rateLimited(waitMs: number): GatewayError {
  return new GatewayError(
    'RATE_LIMITED',
    "Upstream's request budget is spent, and the wait for a free slot would be too long.",
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
  );
}

function closed(): GatewayError {
  return new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.');
}
