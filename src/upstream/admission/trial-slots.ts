import type { Clock } from '../../clock.ts';
import type { BudgetLimits, BudgetWindow, Slot } from '../../fleet/fleet.ts';
import { type LineRequest, WaitingLine } from './waiting-line.ts';

/** A slot in the window of the client that an unproven token names. */
export interface TrialSlot {
  isValid(): boolean;
  /** Nothing was sent, or upstream did not accept the token: it did not count the request for this client. */
  giveBack(): void;
  /** Upstream has counted the request. Where the token is still not proven, the slot stays one of its share. */
  keep(isProven: boolean): void;
}

/** Slots for tokens that upstream has not accepted yet. They do not wait in the queue of the client that they name. */
export interface TrialSlots {
  acquire(request: LineRequest): Promise<TrialSlot>;
  /** Whether no slot is held or waited for. */
  isIdle(): boolean;
  close(): void;
}

// Of the slots of a window, unproven tokens together may hold this share.
const SHARE = 0.1;
// An average over the last so many trials.
const SMOOTHING = 16;

/**
 * Takes slots from the window provisionally. A provisional slot does not count in the pace of the window
 * until upstream has accepted its token, so that forged tokens do not slow down the client that they name.
 */
export function createTrialSlots(
  window: BudgetWindow,
  { limit, windowMs }: BudgetLimits,
  clock: Clock,
): TrialSlots {
  const line = new WaitingLine<{ slot: Slot }>(clock, forecastMs);
  /** By whom: half is kept free for addresses that are known, so that others cannot block them. */
  const held = { known: 0, unknown: 0 };
  const timers = new Set<() => void>();
  let isAsking = false;
  let isClosed = false;
  let cancelWait: (() => void) | null = null;
  /** What became of the last trials: the part of them that cost a slot, and how long each took. */
  let costShare = 1;
  let meanMs = 0;

  return {
    async acquire(request) {
      const waiting = line.join(request);
      void serve();
      const { slot } = await waiting;
      return toTrialSlot(slot, request.isKnown ? 'known' : 'unknown');
    },
    isIdle: () => line.size === 0 && held.known + held.unknown === 0,
    close() {
      isClosed = true;
      cancelWait?.();
      for (const cancel of timers) cancel();
    },
  };

  async function serve(): Promise<void> {
    if (isAsking || cancelWait !== null || isClosed) return;
    isAsking = true;
    while (cancelWait === null && hasRoom()) {
      const take = await window.take({ isProvisional: true });
      if (!('slot' in take)) waitFor(Math.max(1, Math.ceil(take.retryInMs)));
      else if (!serveNext(take.slot)) take.slot.cancel();
    }
    isAsking = false;
  }

  function hasRoom(): boolean {
    return line.hasKnown()
      ? held.known + held.unknown < most()
      : line.size > 0 && mayServeUnknown();
  }

  function mayServeUnknown(): boolean {
    return held.known + held.unknown < most() && held.unknown < Math.max(1, Math.ceil(most() / 2));
  }

  function serveNext(slot: Slot): boolean {
    const isKnown = line.hasKnown();
    if (!isKnown && !mayServeUnknown()) return false;
    if (!line.serve({ slot }, isKnown)) return false;
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

  /** How many slots unproven tokens may hold here: a tenth of the window, divided by the instances. */
  function most(): number {
    return Math.max(1, Math.floor((limit * SHARE) / window.outlook().instances));
  }

  function forecastMs(ahead: number): number {
    const { free, pausedForMs } = window.outlook();
    const toPay = Math.max(0, (ahead + 1) * costShare - Math.max(0, free));
    return pausedForMs + toPay * (windowMs / limit) + (ahead / most()) * meanMs;
  }
}
