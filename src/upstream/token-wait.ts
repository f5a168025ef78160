import type { Moment } from '../clock.ts';
import type { Span } from '../tracing.ts';

const MIN_TRACED_MS = 1;

/**
 * Adds the wait for a token to the span of a request or batch, unless the token was there.
 * `failureCode`: why there is none.
 */
export function traceTokenWait(
  span: Span,
  since: Moment,
  until: Moment,
  failureCode: string | undefined,
): void {
  if (until.monotonic - since.monotonic < MIN_TRACED_MS && failureCode === undefined) return;
  span.start('wait for a token', { startedAt: since.now }).end(failureCode, until.now);
}
