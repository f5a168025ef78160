import { setMaxListeners } from 'node:events';
import type { Plugin } from 'graphql-yoga';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';

// A request to upstream has the same time to itself. Its own failure, which says more, comes first.
const GRACE_MS = 1_000;

/** Ends a query or mutation with UPSTREAM_TIMEOUT at each field that has no value after `timeoutMs`. */
export function useOperationTimeout(clock: Clock, timeoutMs: number): Plugin<Context> {
  return {
    onExecute({ args: { contextValue } }) {
      const { signal } = contextValue.read;
      const controller = new AbortController();
      // Each of its reads listens: many are no leak.
      setMaxListeners(0, controller.signal);
      const cancel = clock.after(timeoutMs + GRACE_MS, () =>
        end(
          new GatewayError('UPSTREAM_TIMEOUT', `The operation took longer than ${timeoutMs} ms.`),
        ),
      );
      const onLeave = () => end(signal?.reason);
      signal?.addEventListener('abort', onLeave, { once: true });
      if (signal?.aborted) onLeave();
      contextValue.read = { ...contextValue.read, signal: controller.signal };
      return { onExecuteDone: release };

      function end(reason: unknown): void {
        release();
        controller.abort(reason);
      }

      function release(): void {
        cancel();
        signal?.removeEventListener('abort', onLeave);
      }
    },
  };
}
