import { setMaxListeners } from 'node:events';
import type { Plugin } from 'graphql-yoga';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';

/** What ends when an operation takes too long, or its client disconnects. */
export interface OperationEnd {
  /** Each read of the operation listens to it. */
  readonly signal: AbortSignal;
  /** Aborts the reads that have not ended. */
  abort(reason: unknown): void;
  /** Call when the operation has its result. */
  release(): void;
}

/** Aborts the reads of a query or mutation once it has taken too long. */
export type LimitTime = () => OperationEnd;

// Each upstream request has the same timeout. Its error is more specific, so it must come first.
const GRACE_MS = 1_000;

export function createLimitTime(clock: Clock, timeoutMs: number): LimitTime {
  return () => {
    const controller = new AbortController();
    // From eleven listeners on, Node would report a leak on stderr.
    setMaxListeners(0, controller.signal);
    const cancel = clock.after(timeoutMs + GRACE_MS, () =>
      controller.abort(
        new GatewayError('UPSTREAM_TIMEOUT', `The operation took longer than ${timeoutMs} ms.`),
      ),
    );
    return {
      signal: controller.signal,
      abort(reason) {
        cancel();
        controller.abort(reason);
      },
      release: cancel,
    };
  };
}

/** Each field of a query or mutation that is still pending when its time is over fails with UPSTREAM_TIMEOUT. */
export function useOperationTimeout(limitTime: LimitTime): Plugin<Context> {
  return {
    onExecute({ args: { contextValue } }) {
      const { signal } = contextValue.read;
      const end = limitTime();
      const onLeave = () => end.abort(signal?.reason);
      signal?.addEventListener('abort', onLeave, { once: true });
      if (signal?.aborted) onLeave();
      contextValue.read = { ...contextValue.read, signal: end.signal };
      return {
        onExecuteDone({ setResult }) {
          end.release();
          signal?.removeEventListener('abort', onLeave);
          // Nobody gets the errors of the reads that were aborted, which are no bugs to be logged.
          if (signal?.aborted) setResult({ data: null });
        },
      };
    },
  };
}
