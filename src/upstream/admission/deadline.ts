import type { Clock } from '../../clock.ts';

/** How long something may take, and whether anybody still waits for it. */
export interface Deadline {
  /** Aborts when the time is up, with the reason given, and when one of the other signals does. */
  signal: AbortSignal;
  /** Milliseconds left; Infinity while stopped. */
  remainingMs(): number;
  /** The time does not count until it is restarted. */
  stop(): void;
  /** All of the time is left, from now on. */
  restart(): void;
  /** Resolves after that long; rejects when the signal aborts. */
  pause(ms: number): Promise<void>;
  /** What is still to be awaited under this deadline, given up when the signal aborts. */
  race<T>(work: Promise<T>): Promise<T>;
  close(): void;
}

export interface DeadlineOptions {
  clock: Clock;
  timeoutMs: number;
  /** Milliseconds that are left of it from the start; all of it, if not given. */
  leftMs?: number;
  /** Why the signal aborts when the time is up. */
  reason: Error;
  /** Signals that end it early: of the caller, of the gateway that closes. */
  signals: readonly (AbortSignal | undefined)[];
}

export function openDeadline(options: DeadlineOptions): Deadline {
  const { clock, timeoutMs, reason } = options;
  const controller = new AbortController();
  const { signal } = controller;
  const signals = options.signals.filter(other => other !== undefined);
  // AbortSignal.any() would do, were signals that last as long as the process not to keep each of them.
  const onAbort = () => controller.abort(signals.find(({ aborted }) => aborted)?.reason);
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
    cancelTimer = clock.after(leftMs, () => controller.abort(reason));
  }

  function race<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const onEnd = () => reject(signal.reason);
      signal.addEventListener('abort', onEnd);
      // Listened to in any case: a failure that comes after the end is nobody's.
      void work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onEnd));
      if (signal.aborted) onEnd();
    });
  }
}
