import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import { BURST_SHARE, type BudgetLimits, type BudgetWindow, type Slot } from '../../fleet/fleet.ts';
import { AnswerTime } from './answer-time.ts';
import { LANES, type Lane, type PollLane, createLanes } from './lanes.ts';
import { Pace } from './pace.ts';
import { type TrialSlot, createTrialSlots } from './trial-slots.ts';
import type { LineRequest } from './waiting-line.ts';

/**
 * A request for the right to send. A caller waits for its answer for `patienceMs` and no longer. A
 * poll has no such limit: it waits until it is served, aborted or the gateway closes.
 */
export type SlotRequest = {
  /** Who asks: in a lane, callers take turns. Undefined: nobody in particular. */
  caller?: string | undefined;
  signal?: AbortSignal | undefined;
} & ({ lane: 'token' | 'interactive'; patienceMs: number } | { lane: PollLane });

/** Hands out the right to send a request: in turns, and never more than upstream allows. */
export interface Budget {
  /**
   * Rejects with RATE_LIMITED, as early as it is known, where no slot comes in time to be answered;
   * polls never do. Rejects with the signal's reason when that aborts.
   */
  acquire(request: SlotRequest): Promise<Slot>;
  /** A slot for a token that upstream has not accepted yet, outside of the queue. Rejects as `acquire` does. */
  tryOut(request: LineRequest): Promise<TrialSlot>;
  /** An attempt took this long to be answered, from its slot to its last byte. */
  answered(tookMs: number): void;
  /** Gives no slot for that long, and refuses those who cannot wait for the end of it. */
  pause(forMs: number): void;
  /** The part of it that is spent, 0–1; all of it while a caller has to wait. */
  pressure(): number;
  /** What is spent of it, 0–1, how many wait for a slot, and how long a pause still takes. */
  load(): BudgetLoad;
  /** Whether it is as good as new: nobody waits and every slot is free. */
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
  /** The last moment, on the monotonic clock, at which a slot still leaves time for an answer. */
  latestGrantAt(): number;
  grant(slot: Slot): void;
  refuse(error: unknown): void;
}

// A caller is let in where it is forecast to be served with a tenth of its time left, and served as long
// as there is time for an answer: a forecast may be a little wrong, and an answer slower than the last.
const SPARE_SHARE = 0.1;
// However slow upstream is, half of a caller's time may be spent on waiting for a slot.
const MAX_ANSWER_SHARE = 0.5;
// One who asks for more at once would only fill the memory.
const MAX_WAITING_BY_CALLER = 200;
const NO_CALLER = '';

/**
 * The queue before a window.
 *
 * Lanes take turns by weight, and callers within a lane (see lanes.ts). A caller is served early enough to be answered, or
 * refused with the time after which there will be a slot for it. That time is forecast from the
 * turns of others ahead in its lane, the share of its lane among those that have had to wait lately, and the
 * pace at which slots have come.
 */
export function createBudget(window: BudgetWindow, limits: BudgetLimits, clock: Clock): Budget {
  const { limit, windowMs } = limits;
  const lanes = createLanes<Waiter>();
  const answerTime = new AnswerTime();
  const pace = new Pace(limits, clock);
  const trials = createTrialSlots(window, limits, clock);
  let isAsking = false;
  let isClosed = false;
  /** Whether somebody has waited since before the window was last asked. */
  let isQueue = false;
  /** The timer for the next slot, where the window has said when that comes. */
  let nextSlot: { at: number; cancel: () => void } | null = null;

  return {
    acquire,
    tryOut(request) {
      if (isClosed) throw closed();
      return trials.acquire(request);
    },
    answered: tookMs => answerTime.add(tookMs),
    pause(forMs) {
      window.pause(forMs);
      pace.interrupt();
      refuseHopeless();
    },
    pressure() {
      if (lanes.size('interactive') > 0) return 1;
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
      const patienceMs = 'patienceMs' in request ? request.patienceMs : Infinity;
      const answerBy = clock.monotonic() + patienceMs;
      const answerMs = () => Math.min(answerTime.mostMs, patienceMs * MAX_ANSWER_SHARE);
      if (patienceMs < Infinity) {
        const waitMs = forecastMs(lane, lanes.ahead(lane, caller));
        const spareMs = Math.max(answerMs(), patienceMs * SPARE_SHARE);
        const isCrowd =
          caller !== NO_CALLER && lanes.waiting(lane, caller) >= MAX_WAITING_BY_CALLER;
        if (isCrowd || waitMs > patienceMs - spareMs) throw rateLimited(waitMs);
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
        patienceMs < Infinity
          ? clock.after(patienceMs - answerMs(), () =>
              waiter.refuse(rateLimited(forecastMs(lane, lanes.ahead(lane, caller)))),
            )
          : null;
      signal?.addEventListener('abort', onAbort);
      lanes.add(waiter);
      void serve();
    });
  }

  /** Takes slots for as long as somebody waits; where there is none, comes back when there is. */
  async function serve(): Promise<void> {
    if (isAsking || nextSlot !== null) return;
    isAsking = true;
    while (lanes.total > 0 && nextSlot === null) {
      const take = await window.take();
      if ('slot' in take) give(take.slot);
      else waitForSlot(Math.max(1, Math.ceil(take.retryInMs)));
    }
    isAsking = false;
    isQueue = lanes.total > 0;
  }

  function waitForSlot(ms: number): void {
    if (isClosed) return;
    const now = clock.monotonic();
    lanes.noteWait(now);
    const cancel = clock.after(ms, () => {
      nextSlot = null;
      void serve();
    });
    nextSlot = { at: now + ms, cancel };
    // Those who came before the window was asked were let in on a guess.
    if (!isQueue) refuseHopeless();
  }

  /** To the first, in turn, who can still be answered; back, where all have gone meanwhile. */
  function give(slot: Slot): void {
    const now = clock.monotonic();
    for (let next = lanes.next(); next !== undefined; next = lanes.next()) {
      if (now <= next.latestGrantAt()) {
        next.grant(slot);
        pace.slotCame(lanes.total > 0);
        return;
      }
      next.refuse(rateLimited(forecastMs(next.lane, lanes.ahead(next.lane, next.caller))));
    }
    slot.cancel();
  }

  function refuseHopeless(): void {
    const now = clock.monotonic();
    let ahead = 0;
    for (const waiter of [...lanes.of('token'), ...lanes.of('interactive')]) {
      const waitMs = forecastMs(waiter.lane, waiter.lane === 'token' ? 0 : ahead);
      if (now + waitMs > waiter.latestGrantAt()) waiter.refuse(rateLimited(waitMs));
      else if (waiter.lane === 'interactive') ahead++;
    }
  }

  /** Milliseconds until a waiter is served who has so many turns of others, or of its own, ahead in its lane. */
  function forecastMs(lane: Lane, ahead: number): number {
    const now = clock.monotonic();
    const { free, pausedForMs } = window.outlook();
    /** Slots given until it has its own, that one included. */
    const turns = (ahead + 1) / lanes.shareOf(lane, now - windowMs);
    if (nextSlot !== null && pausedForMs === 0)
      return Math.max(0, nextSlot.at - now) + (turns - 1) * pace.slotMs;
    // The first to ask is let in where anything is free: only the window knows when that may go.
    if (pausedForMs === 0 && ahead === 0 && free > 0) return 0;
    const freeThen = pausedForMs >= windowMs ? limit : free;
    // Of so many free slots the window spreads none.
    const atOnce = Math.max(0, Math.ceil(freeThen - limit * (1 - BURST_SHARE)));
    return pausedForMs + Math.max(0, turns - atOnce) * pace.slotMs;
  }
}

function rateLimited(waitMs: number): GatewayError {
  return new GatewayError(
    'RATE_LIMITED',
    "Upstream's request budget is spent and the wait would be too long.",
    { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
  );
}

function closed(): GatewayError {
  return new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.');
}
