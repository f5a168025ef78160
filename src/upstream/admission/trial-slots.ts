import type { Clock } from '../../clock.ts';
import type { BudgetLimits, BudgetWindow, Slot } from '../../fleet/fleet.ts';
import { type QueueRequest, AddressQueue } from './address-queue.ts';

/** A slot for an unproven token, in the window of the client that the token names. */
export interface TrialSlot {
  isValid(): boolean;
  /**
   * Returns the slot: nothing was sent, or upstream refused the token and did not count the request
   * for this client.
   */
  giveBack(): void;
  /**
   * Spends the slot: upstream counted the request. If the token is still unproven, it counts in
   * their share for one window.
   */
  keep(isProven: boolean): void;
}

/**
 * Grants slots for tokens that upstream has not accepted yet, outside of the lanes of the client
 * that they name.
 */
export interface TrialSlots {
  acquire(request: QueueRequest): Promise<TrialSlot>;
  /** Whether no slot is held and no request waits. */
  isIdle(): boolean;
  close(): void;
}

// All unproven tokens together may hold this share of a window's slots.
const SHARE = 0.1;
// The averages cover about this many trials.
const SMOOTHING = 16;

/**
 * Takes slots from the window provisionally. A provisional slot does not count in the pace of the
 * window until upstream has accepted its token, so that forged tokens do not slow down the client
 * that they name.
 */
export function createTrialSlots(
  window: BudgetWindow,
  { limit, windowMs }: BudgetLimits,
  clock: Clock,
): TrialSlots {
  const queue = new AddressQueue<{ slot: Slot }>(clock, forecastMs);
  /**
   * Slots held by known and unknown addresses. Half is reserved for known ones, so that others
   * cannot block them.
   */
  const held = { known: 0, unknown: 0 };
  const timers = new Set<() => void>();
  let isTaking = false;
  let isClosed = false;
  let cancelWait: (() => void) | null = null;
  /** The share of recent trials that cost a slot, and their mean duration. */
  let costShare = 1;
  let meanMs = 0;

  return {
    async acquire(request) {
      const waiting = queue.enqueue(request);
      void serve();
      const { slot } = await waiting;
      return toTrialSlot(slot, request.isKnown ? 'known' : 'unknown');
    },
    isIdle: () => queue.size === 0 && held.known + held.unknown === 0,
    close() {
      isClosed = true;
      cancelWait?.();
      for (const cancel of timers) cancel();
    },
  };

  async function serve(): Promise<void> {
    if (isTaking || cancelWait !== null || isClosed) return;
    isTaking = true;
    while (cancelWait === null && hasRoom()) {
      const take = await window.take({ isProvisional: true });
      if (!('slot' in take)) waitFor(Math.max(1, Math.ceil(take.retryInMs)));
      else if (!serveNext(take.slot)) take.slot.cancel();
    }
    isTaking = false;
  }

  function hasRoom(): boolean {
    return queue.hasKnown()
      ? held.known + held.unknown < maxHeld()
      : queue.size > 0 && mayServeUnknown();
  }

  function mayServeUnknown(): boolean {
    return (
      held.known + held.unknown < maxHeld() && held.unknown < Math.max(1, Math.ceil(maxHeld() / 2))
    );
  }

  function serveNext(slot: Slot): boolean {
    const isKnown = queue.hasKnown();
    if (!isKnown && !mayServeUnknown()) return false;
    if (!queue.serve({ slot }, isKnown)) return false;
    held[isKnown ? 'known' : 'unknown']++;
    return true;
  }

  function waitFor(ms: number): void {
    cancelWait = clock.after(ms, () => {
      cancelWait = null;
      void serve();
    });
  }

  function toTrialSlot(slot: Slot, holder: keyof typeof held): TrialSlot {
    const takenAt = clock.monotonic();
    let isOpen = true;
    const close = (isCounted: boolean, settle: () => void) => {
      if (!isOpen) return false;
      isOpen = false;
      settle();
      costShare += ((isCounted ? 1 : 0) - costShare) / SMOOTHING;
      meanMs += (clock.monotonic() - takenAt - meanMs) / SMOOTHING;
      return true;
    };
    const release = () => {
      held[holder]--;
      void serve();
    };
    return {
      isValid: () => slot.isValid(),
      giveBack() {
        if (close(false, slot.cancel)) release();
      },
      keep(isProven) {
        if (!close(true, slot.settle)) return;
        if (isProven) release();
        else releaseAfterWindow();
      },
    };

    function releaseAfterWindow(): void {
      const cancel = clock.after(windowMs, () => {
        timers.delete(cancel);
        release();
      });
      timers.add(cancel);
    }
  }

  /**
   * How many slots unproven tokens may hold on this instance: a tenth of the window, divided by the
   * instances.
   */
  function maxHeld(): number {
    return Math.max(1, Math.floor((limit * SHARE) / window.outlook().instances));
  }

  function forecastMs(ahead: number): number {
    const { free, pausedForMs } = window.outlook();
    const slotsToWaitFor = Math.max(0, (ahead + 1) * costShare - Math.max(0, free));
    return pausedForMs + slotsToWaitFor * (windowMs / limit) + (ahead / maxHeld()) * meanMs;
  }
}
