import type { Clock } from '../clock.ts';

/** Looks again and again, for as long as there is something to look at. */
export interface Poller {
  /** Something is to be looked at: within one interval from now, or at once. */
  start(isUrgent?: boolean): void;
  close(): void;
}

export interface PollerParts {
  clock: Clock;
  /** Milliseconds from `start` to the next look at the most. */
  intervalMs: number;
  /** One look. The milliseconds until the next is due; null when there is nothing to look at. */
  look(): Promise<number | null>;
}

export function createPoller({ clock, intervalMs, look }: PollerParts): Poller {
  let isClosed = false;
  let isLooking = false;
  // Asked to start while a look is under way, which cannot know of what is new.
  let wantedInMs: number | null = null;
  let planned: { at: number; cancel: () => void } | null = null;

  return {
    start(isUrgent = false) {
      const delayMs = isUrgent ? 0 : intervalMs;
      if (isLooking) wantedInMs = Math.min(wantedInMs ?? delayMs, delayMs);
      else plan(delayMs);
    },
    close() {
      isClosed = true;
      planned?.cancel();
    },
  };

  function plan(delayMs: number): void {
    const at = clock.monotonic() + delayMs;
    if (isClosed || (planned !== null && planned.at <= at)) return;
    planned?.cancel();
    planned = { at, cancel: clock.after(delayMs, () => void lookAndPlan()) };
  }

  async function lookAndPlan(): Promise<void> {
    planned = null;
    isLooking = true;
    const delayMs = await look();
    isLooking = false;
    if (delayMs !== null) plan(delayMs);
    if (wantedInMs !== null) plan(wantedInMs);
    wantedInMs = null;
  }
}
