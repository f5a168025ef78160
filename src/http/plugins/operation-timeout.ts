import type { Plugin } from 'graphql-yoga';
import { Bag } from '../../bag.ts';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import { LightSignal } from '../../signal.ts';

/** What ends when an operation takes too long, or its client disconnects. */
export interface OperationEnd {
  /** Each read of the operation listens to it. Aborting it ends the reads that have not ended. */
  readonly signal: LightSignal;
  /** Call when the operation has its result. */
  release(): void;
}

/** Aborts the reads of a query or mutation once it has taken too long. */
export type LimitTime = () => OperationEnd;

interface RunningOperation {
  signal: LightSignal;
  /** On the monotonic clock. */
  endsAt: number;
}

// Each upstream request has the same timeout. Its error is more specific, so it must come first.
const GRACE_MS = 1_000;

/** One timer serves all operations. */
export function createLimitTime(clock: Clock, timeoutMs: number): LimitTime {
  const running = new Bag<RunningOperation>();
  let cancelTimer: (() => void) | null = null;

  return () => {
    const signal = new LightSignal();
    const remove = running.add({ signal, endsAt: clock.monotonic() + timeoutMs + GRACE_MS });
    cancelTimer ??= clock.after(timeoutMs + GRACE_MS, endLate);
    return {
      signal,
      release() {
        remove();
        if (running.size > 0) return;
        cancelTimer?.();
        cancelTimer = null;
      },
    };
  };

  function endLate(): void {
    const now = clock.monotonic();
    let next = Infinity;
    for (const { signal, endsAt } of running)
      if (endsAt <= now) signal.abort(tooLate());
      else next = Math.min(next, endsAt);
    cancelTimer = next < Infinity ? clock.after(next - now, endLate) : null;
  }

  function tooLate(): GatewayError {
    return new GatewayError('UPSTREAM_TIMEOUT', `The operation took longer than ${timeoutMs} ms.`);
  }
}

/**
 * Each field of a query or mutation that is still pending when its time is over fails with
 * UPSTREAM_TIMEOUT.
 */
export function useOperationTimeout(limitTime: LimitTime): Plugin<Context> {
  return {
    onExecute({ executeFn, setExecuteFn }) {
      // Not `onExecuteDone`, which is not called if the execution rejects because the client has
      // left.
      setExecuteFn(async args => {
        const { contextValue } = args as { contextValue: Context };
        const { signal } = contextValue.read;
        const end = limitTime();
        const onLeave = () => end.signal.abort(signal?.reason);
        signal?.addEventListener('abort', onLeave, { once: true });
        if (signal?.aborted) onLeave();
        contextValue.read = { ...contextValue.read, signal: end.signal };
        try {
          const result: unknown = await executeFn(args);
          // The errors of the aborted reads have no reader, and are not bugs to be logged.
          return signal?.aborted ? { data: null } : result;
        } finally {
          end.release();
          signal?.removeEventListener('abort', onLeave);
        }
      });
    },
  };
}
