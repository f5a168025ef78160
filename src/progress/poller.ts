import type { Clock } from '../clock.ts';

/** Polls again and again, while there is something to poll. */
export interface Poller {
  /** Polls within `delayMs` milliseconds from now. */
  startIn(delayMs: number): void;
  close(): void;
}

export interface PollerParts {
  clock: Clock;
  /** One poll. Returns the milliseconds until the next is due; null when there is nothing to poll. Never rejects. */
  poll(): Promise<number | null>;
}

export function createPoller({ clock, poll }: PollerParts): Poller {
  let isClosed = false;
  let isPolling = false;
  // Asked to start during a poll, which cannot know of what is new.
  let startInMs: number | null = null;
  let planned: { at: number; cancel: () => void } | null = null;

  return {
    startIn(delayMs) {
      if (isPolling) startInMs = Math.min(startInMs ?? delayMs, delayMs);
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
    planned = { at, cancel: clock.after(delayMs, () => void pollAndPlan()) };
  }

  async function pollAndPlan(): Promise<void> {
    planned = null;
    isPolling = true;
    const delayMs = await poll();
    isPolling = false;
    if (delayMs !== null) plan(delayMs);
    if (startInMs !== null) plan(startInMs);
    startInMs = null;
  }
}
