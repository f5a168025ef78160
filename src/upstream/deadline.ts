import type { Clock } from '../clock.ts';

/** How long something may take, and whether anybody still waits for it. */
export interface Deadline {
  /** Aborts when the time is up, with `reason`, and when the caller's own signal does. */
  signal: AbortSignal;
  remainingMs(): number;
  /** Resolves after that long; rejects when the signal aborts. */
  pause(ms: number): Promise<void>;
  close(): void;
}

export function openDeadline(
  clock: Clock,
  timeoutMs: number,
  reason: Error,
  caller: AbortSignal | undefined,
): Deadline {
  const controller = new AbortController();
  const { signal } = controller;
  const endsAt = clock.monotonic() + timeoutMs;
  const onCallerAbort = () => controller.abort(caller?.reason);
  const cancelTimer = clock.after(timeoutMs, () => controller.abort(reason));
  caller?.addEventListener('abort', onCallerAbort);
  if (caller?.aborted) onCallerAbort();

  return {
    signal,
    remainingMs: () => Math.max(0, endsAt - clock.monotonic()),
    pause: ms =>
      new Promise((resolve, reject) => {
        signal.throwIfAborted();
        const leave = () => {
          cancel();
          signal.removeEventListener('abort', onAbort);
        };
        const onAbort = () => {
          leave();
          reject(signal.reason);
        };
        const cancel = clock.after(ms, () => {
          leave();
          resolve();
        });
        signal.addEventListener('abort', onAbort);
      }),
    close() {
      cancelTimer();
      caller?.removeEventListener('abort', onCallerAbort);
    },
  };
}
