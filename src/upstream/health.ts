import type { Clock } from '../clock.ts';
import type { GatewayError } from '../errors.ts';
import type { AttemptReport } from './attempt-report.ts';

/** Whether something that requests depend on works. `unknown`: it was not tried lately, and cannot be now. */
export interface PartStatus {
  status: 'ok' | 'failed' | 'unknown';
  /** In plain words, without hosts, URLs or tokens. Undefined where it is ok. */
  reason?: string;
}

/** Knows from the requests that are sent anyway whether upstream answers. */
export interface UpstreamHealth {
  /** An attempt ended. */
  attempted(report: AttemptReport): void;
  /** The gateway has a token of its own, or could not get one for this reason. */
  tokenFetched(error: GatewayError | null): void;
  /** Whether the gateway has a token of its own; null if it has no client, or has not asked for a token yet. */
  hasToken(): boolean | null;
  /** If upstream has not answered lately, asks it, and waits a second at most. `token` is null without a client. */
  check(): Promise<{ token: PartStatus | null; upstream: PartStatus }>;
}

export interface UpstreamHealthParts {
  clock: Clock;
  /** Whether the gateway has credentials of its own. */
  hasClient: boolean;
  /** Sends one cheap request. What comes of it is reported to `attempted`. */
  probe(signal: AbortSignal): Promise<unknown>;
}

// An answer is recent for so long, and one probe is sent in so much time. A failure shows within five seconds.
const RECENT_MS = 3_000;
// Kubernetes waits one second for the answer to its probe.
const ANSWER_WITHIN_MS = 900;
const PROBE_TIMEOUT_MS = 2_500;

export function createUpstreamHealth({
  clock,
  hasClient,
  probe,
}: UpstreamHealthParts): UpstreamHealth {
  let wellAt = -Infinity;
  let failure: { reason: string; at: number } | null = null;
  /** Undefined before the first token. */
  let tokenError: GatewayError | null | undefined;
  let probedAt = -Infinity;
  let probing: Promise<void> | null = null;

  return {
    attempted({ status, failure: failed }) {
      if (status === 'aborted') return;
      // A refusal in upstream's own words is an answer; a redirect or the answer of a firewall is none of upstream's.
      if (
        failed === null ||
        (failed.diagnosis.health === 'healthy' && failed.explanation === undefined)
      )
        wellAt = clock.monotonic();
      else failure = { reason: failed.explanation ?? failed.message, at: clock.monotonic() };
    },
    tokenFetched: error => void (tokenError = error),
    hasToken: () => (hasClient && tokenError !== undefined ? tokenError === null : null),
    async check() {
      if (!isRecent() || (hasClient && tokenError !== null)) {
        startProbe();
        if (probing !== null) await settledWithin(probing, ANSWER_WITHIN_MS);
      }
      return { token: hasClient ? tokenStatus() : null, upstream: upstreamStatus() };
    },
  };

  function isRecent(): boolean {
    return clock.monotonic() - wellAt <= RECENT_MS;
  }

  function startProbe(): void {
    if (probing !== null || clock.monotonic() - probedAt < RECENT_MS) return;
    probedAt = clock.monotonic();
    const controller = new AbortController();
    const cancel = clock.after(PROBE_TIMEOUT_MS, () =>
      controller.abort(new Error('The probe took too long.')),
    );
    probing = probe(controller.signal)
      .then(
        () => {},
        () => {},
      )
      .finally(() => {
        cancel();
        probing = null;
      });
  }

  function settledWithin(work: Promise<void>, ms: number): Promise<void> {
    return new Promise(resolve => {
      const cancel = clock.after(ms, resolve);
      void work.then(() => {
        cancel();
        resolve();
      });
    });
  }

  function tokenStatus(): PartStatus {
    if (tokenError === null) return { status: 'ok' };
    if (tokenError === undefined)
      return { status: 'failed', reason: 'upstream has not granted a token yet' };
    const { upstream } = tokenError.extensions;
    const status = upstream === undefined ? '' : ` (status ${upstream.status})`;
    return { status: 'failed', reason: `${tokenError.message}${status}` };
  }

  function upstreamStatus(): PartStatus {
    if (isRecent()) return { status: 'ok' };
    if (failure !== null && failure.at > wellAt)
      return { status: 'failed', reason: failure.reason };
    if (hasClient && tokenError !== null)
      return { status: 'unknown', reason: 'not asked, because there is no token' };
    const silentMs = clock.monotonic() - wellAt;
    const since = Number.isFinite(silentMs) ? `for ${Math.round(silentMs / 1000)} s` : 'yet';
    return { status: 'failed', reason: `upstream has not answered ${since}` };
  }
}
