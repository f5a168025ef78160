import { setMaxListeners } from 'node:events';
import type { Plugin } from 'graphql-yoga';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';

// Each upstream request has the same timeout. Its error is more specific, so it must come first.
const GRACE_MS = 1_000;

/**
 * After `timeoutMs`, each field of a query or mutation that is still pending fails with
 * UPSTREAM_TIMEOUT.
 */
export function useOperationTimeout(clock: Clock, timeoutMs: number): Plugin<Context> {
  return {
    onExecute({ args: { contextValue } }) {
      const { signal } = contextValue.read;
      const controller = new AbortController();
      // One operation may wait for hundreds of tasks; that is no leak.
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
