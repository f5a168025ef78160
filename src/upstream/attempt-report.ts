import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Span } from '../tracing.ts';
import { AttemptFailure } from './admission/attempt-failure.ts';
import type { Lane } from './admission/lanes.ts';

/** The endpoints of the REST API and of its token server, for metrics. */
export type EndpointName = 'token' | 'list' | 'pending' | 'task' | 'update' | 'aggregation';

/** What became of one attempt. */
export interface AttemptReport {
  endpoint: EndpointName;
  lane: Lane;
  /**
   * The status of upstream's answer, or why there is none. `aborted`: those who waited for it have
   * left.
   */
  status: number | 'timeout' | 'unreachable' | 'broken' | 'aborted';
  tookMs: number;
  /** Why it failed; null for a success, and where the attempt was aborted. */
  failure: AttemptFailure | null;
}

/** Notes what requests cost, for metrics and health. */
export interface RequestObserver {
  attempted(report: AttemptReport): void;
  /** A request got its slot after this many milliseconds. */
  waited(lane: Lane, waitedMs: number): void;
  /** A request was refused because no slot would come in time. */
  refused(lane: Lane): void;
}

/** One attempt under way, that is reported once it has ended. */
export interface AttemptRecord {
  /** The header that names it in a trace; null where it is not traced. */
  readonly traceparent: string | null;
  succeeded(status: number): void;
  /** `status` is that of the answer; null where there was none. */
  failed(status: number | null, error: unknown): void;
}

export interface ReportedRequest {
  method: 'GET' | 'PATCH' | 'POST';
  path: string;
  /** By default the path without its query. */
  loggedPath?: string;
  endpoint: EndpointName;
  lane: Lane;
  /** What it is part of, in a trace. */
  span?: Span | null | undefined;
}

/** An attempt begins now. */
export function beginAttempt(
  { method, endpoint, lane, span: parent }: ReportedRequest,
  clock: Pick<Clock, 'monotonic'>,
  observer: RequestObserver | undefined,
): AttemptRecord {
  const startedAt = clock.monotonic();
  const span =
    parent?.start('attempt', { attributes: { 'http.request.method': method, endpoint, lane } }) ??
    null;
  const report = (status: AttemptReport['status'], failure: AttemptFailure | null) =>
    observer?.attempted({ endpoint, lane, status, tookMs: clock.monotonic() - startedAt, failure });

  return {
    traceparent: span?.traceparent ?? null,
    succeeded(status) {
      report(status, null);
      span?.set({ 'http.response.status_code': status });
      span?.end();
    },
    failed(answerStatus, error) {
      const failure = error instanceof AttemptFailure ? error : null;
      const status = answerStatus ?? unansweredBy(failure);
      report(status, failure);
      if (answerStatus !== null) span?.set({ 'http.response.status_code': answerStatus });
      span?.end(failure?.code ?? 'aborted');
    },
  };
}

/**
 * Logs a failed attempt. What upstream refuses in its own words is logged at `debug` only, unless it
 * refuses a token of the gateway that was fetched for this attempt.
 */
export function logFailure(
  log: Pick<Log, 'debug' | 'warn'>,
  { method, path, loggedPath = path.split('?', 1)[0] }: ReportedRequest,
  failure: AttemptFailure,
  isTokenRenewed: boolean,
): void {
  const { code, place, status } = failure;
  const explanation =
    status === 401 && isTokenRenewed
      ? "status 401: upstream does not accept the gateway's token, nor the new one"
      : failure.explanation;
  const fields = {
    // Without the query and the id, which callers have sent.
    request: `${method} ${loggedPath}`,
    code,
    status,
    trackingId: failure.extensions.upstream?.trackingId ?? null,
    cause: `${explanation ?? `status ${status}`}${place === null ? '' : ` (${place})`}`,
  };
  // A refusal is mostly the caller's affair, and callers must not be able to fill the log.
  if (explanation === undefined && status !== 429) log.debug(fields, 'upstream refused a request');
  else log.warn(fields, 'an attempt at upstream failed');
}

function unansweredBy(failure: AttemptFailure | null): AttemptReport['status'] {
  if (failure === null) return 'aborted';
  if (failure.code === 'UPSTREAM_TIMEOUT') return 'timeout';
  return failure.code === 'UPSTREAM_UNAVAILABLE' ? 'unreachable' : 'broken';
}
