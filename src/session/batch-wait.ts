import { type Clock, type Moment, momentOf } from '../clock.ts';
import type { Span } from '../tracing.ts';
import type { OnTokenWait } from '../upstream/token-wait.ts';
import { type OperationUsage, startSpanFor } from '../usage.ts';

/** The wait of a batch for its token, if that is not there yet, and then for its slot. */
export interface BatchWait {
  onTokenWait: OnTokenWait;
  /**
   * Tells the operations how long they have waited for the budget, and returns the batch's part of
   * their traces, which is null if none of them is traced. `operations`: when each began to wait
   * for the batch, on the monotonic clock. `failureCode`: why it got no slot; its part of the
   * traces has then ended.
   */
  end(
    operations: ReadonlyMap<OperationUsage, number>,
    tasks: number,
    failureCode: string | undefined,
  ): Span | null;
}

export function beginBatchWait(clock: Clock): BatchWait {
  const since = momentOf(clock);
  /** Null if the token was there. */
  let tokenWait: { until: Moment; failureCode: string | undefined } | null = null;

  return {
    onTokenWait: () => failureCode => void (tokenWait = { until: momentOf(clock), failureCode }),
    end(operations, tasks, failureCode) {
      const hasToken = tokenWait?.failureCode === undefined;
      const askedAt = tokenWait?.until ?? since;
      if (hasToken) {
        const now = clock.monotonic();
        for (const [usage, joinedAt] of operations)
          usage.waited(Math.max(askedAt.monotonic, joinedAt), now);
      }
      const span = startSpanFor(operations.keys(), 'batch', {
        attributes: { tasks, operations: operations.size },
        startedAt: since.now,
      });
      if (span === null) return null;
      if (tokenWait !== null)
        span
          .start('wait for a token', { startedAt: since.now })
          .end(tokenWait.failureCode, tokenWait.until.now);
      if (hasToken) span.start('wait for the budget', { startedAt: askedAt.now }).end(failureCode);
      if (failureCode !== undefined) span.end(failureCode);
      return span;
    },
  };
}
