import { LightSignal, type Signal } from '../../signal.ts';
import type { Clock } from '../../clock.ts';

/** A time limit that can be stopped and restarted, combined with abort signals. */
export interface Deadline {
  /** Aborts with `reason` when the time is up, or with the reason of one of the other signals. */
  signal: Signal;
  /** Milliseconds left; Infinity while stopped. */
  remainingMs(): number;
  /** Stops the time until `restart`. */
  stop(): void;
  /** Starts again with the full time. */
  restart(): void;
  /** Resolves after that long; rejects when the signal aborts. */
  pause(ms: number): Promise<void>;
  /** The result of `work`, or a rejection when the signal aborts. */
  race<T>(work: Promise<T>): Promise<T>;
  close(): void;
}

export interface DeadlineOptions {
  clock: Clock;
  timeoutMs: number;
  /** Milliseconds left at the start; `timeoutMs` by default. */
  leftMs?: number;
  /** Makes the reason of the abort when the time is up. */
  reason(): Error;
  /** Signals that end it early: the caller disconnects, the gateway closes. */
  signals: readonly (Signal | undefined)[];
}

/** The time starts immediately. Close it, or its listeners stay on the signals. */
export function openDeadline(options: DeadlineOptions): Deadline {
  const { clock, timeoutMs } = options;
  const signal = new LightSignal();
  const signals = options.signals.filter(other => other !== undefined);
  // Not AbortSignal.any(): a signal that lives as long as the process would retain each result.
  const onAbort = () => signal.abort(signals.find(({ aborted }) => aborted)?.reason);
  for (const other of signals) other.addEventListener('abort', onAbort);
  let endsAt = Infinity;
  let cancelTimer = () => {};
  begin(options.leftMs ?? timeoutMs);
  if (signals.some(({ aborted }) => aborted)) onAbort();

  return {
    signal,
    remainingMs: () => Math.max(0, endsAt - clock.monotonic()),
    stop() {
      cancelTimer();
      endsAt = Infinity;
    },
    restart: () => begin(timeoutMs),
    pause: ms => {
      let cancel = () => {};
      const wait = new Promise<void>(resolve => (cancel = clock.after(ms, resolve)));
      return race(wait).finally(cancel);
    },
    race,
    close() {
      cancelTimer();
      for (const other of signals) other.removeEventListener('abort', onAbort);
    },
  };

  function begin(leftMs: number): void {
    cancelTimer();
    endsAt = clock.monotonic() + leftMs;
    cancelTimer = clock.after(leftMs, () => signal.abort(options.reason()));
  }

  function race<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const onEnd = () => reject(signal.reason);
      signal.addEventListener('abort', onEnd);
      // Always handled: a rejection after the abort must not become an unhandled rejection.
      void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onEnd));
      if (signal.aborted) onEnd();
    });
  }
}
