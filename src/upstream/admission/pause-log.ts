import type { Clock } from '../../clock.ts';
import type { Log } from '../../log.ts';

/** Logs when upstream asks for a pause, and when requests go on. */
export interface PauseLog {
  /** A budget gives no slot for this many milliseconds. */
  paused(forMs: number): void;
  close(): void;
}

/** Pauses that overlap, of one client or of several, are one in the log. */
export function createPauseLog(clock: Clock, log: Pick<Log, 'info' | 'warn'>): PauseLog {
  let endsAt = -Infinity;
  let cancel = () => {};

  return {
    paused(forMs) {
      const now = clock.monotonic();
      if (now + forMs <= endsAt) return;
      if (now >= endsAt)
        log.warn(
          { seconds: Math.ceil(forMs / 1000) },
          'the budget is paused: upstream answered 429',
        );
      endsAt = now + forMs;
      cancel();
      cancel = clock.after(forMs, () => log.info('the budget is no longer paused'));
    },
    close: () => cancel(),
  };
}
