import type { Clock } from '../clock.ts';
import type { Tracer } from '../tracing.ts';

/** A timer loop that runs one poll at a time. */
export interface Poller {
  /** Polls after `delayMs` milliseconds at the latest. */
  startIn(delayMs: number): void;
  close(): void;
}

export interface PollerParts {
  clock: Clock;
  /**
   * Polls once. Returns milliseconds until the next poll, or null if there is nothing left to poll.
   * Never rejects.
   */
  poll(): Promise<number | null>;
}

/** Notes what polls cost, for metrics. */
export interface PollObserver {
  polled(kind: 'tasks' | 'list', isFailure: boolean, tookMs: number): void;
}

/** What traces polls. */
export interface PollTracing {
  /** Null: they are not traced. */
  tracer?: Pick<Tracer, 'start'> | null;
}

/** A poller that is idle until `startIn` is called, and whenever `poll` returns null. */
export function createPoller({ clock, poll }: PollerParts): Poller {
  let isClosed = false;
  let isPolling = false;
  // The delay requested by `startIn` during a poll, which does not know about ids added meanwhile.
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
