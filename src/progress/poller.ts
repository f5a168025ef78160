import type { Clock } from '../clock.ts';

/** Looks again and again, for as long as there is something to look at. */
export interface Poller {
  /** Begins, if it is not at it already: the first look comes one interval from now. */
  start(): void;
  close(): void;
}

export interface PollerParts {
  clock: Clock;
  /** Milliseconds from one look to the next; a look that takes longer puts the next one off. */
  intervalMs: number;
  /** One look. False when there was nothing to look at. */
  look(): Promise<boolean>;
}

export function createPoller({ clock, intervalMs, look }: PollerParts): Poller {
  let isClosed = false;
  let isRunning = false;
  // Asked to begin while the look that may be the last one is under way.
  let isWanted = false;
  let cancelTimer: (() => void) | null = null;

  return {
    start() {
      isWanted = true;
      if (isRunning || isClosed) return;
      isRunning = true;
      plan(intervalMs);
    },
    close() {
      isClosed = true;
      cancelTimer?.();
    },
  };

  function plan(delayMs: number): void {
    cancelTimer = clock.after(delayMs, () => void lookAndPlan());
  }

  async function lookAndPlan(): Promise<void> {
    const startedAt = clock.monotonic();
    isWanted = false;
    const hadWork = await look();
    isRunning = hadWork || isWanted;
    if (isRunning && !isClosed) plan(Math.max(0, startedAt + intervalMs - clock.monotonic()));
  }
}
