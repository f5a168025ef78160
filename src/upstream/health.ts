import type { Clock } from '../clock.ts';
import type { GatewayError } from '../errors.ts';
import { AnswerTime } from './admission/answer-time.ts';
import { AttemptFailure } from './admission/attempt-failure.ts';
import type { AttemptReport } from './attempt-report.ts';

/**
 * Whether something that requests depend on works. `unknown`: it was not tried lately, and cannot
 * be now.
 */
export interface PartStatus {
  status: 'ok' | 'failed' | 'unknown';
  /** In plain words, without hosts, URLs or tokens. Undefined where it is ok. */
  reason?: string;
}

/** Knows from the requests that are sent anyway whether upstream answers. */
export interface UpstreamHealth {
  /** A request has got its slot and is sent now. */
  asked(): void;
  /** An attempt ended. */
  attempted(report: AttemptReport): void;
  /** The gateway has a token of its own, or could not get one for this reason. */
  tokenFetched(error: GatewayError | null): void;
  /**
   * Whether the gateway has a token of its own; null if it has no client, or has not asked for a
   * token yet.
   */
  hasToken(): boolean | null;
  /**
   * If upstream has not answered lately, asks it, and waits a second at most. `token` is null
   * without a client.
   */
  check(): Promise<{ token: PartStatus | null; upstream: PartStatus }>;
}

export interface UpstreamHealthParts {
  clock: Clock;
  /** For how long no request may be sent, because upstream or a lost Redis demands a pause. */
  pausedMs(): number;
  /** Whether the gateway has credentials of its own. */
  hasClient: boolean;
  /** Sends one cheap request. What comes of it is reported to `attempted`. */
  probe(signal: AbortSignal): Promise<unknown>;
}

/** What has been wrong since upstream last answered well. */
interface Fault {
  reason: string;
  at: number;
}

// An answer is recent for so long, and one probe is sent in so much time. A failure shows within
// five seconds.
const RECENT_MS = 3_000;
// Kubernetes waits one second for the answer to its probe.
const ANSWER_WITHIN_MS = 900;
const PROBE_TIMEOUT_MS = 2_500;
// An upstream that is slow has so long before it counts as silent, unless it usually answers
// sooner.
const MAX_PATIENCE_MS = 2_400;

const REFUSED: Readonly<Record<number, string>> = {
  401: "Upstream does not accept the gateway's token.",
  403: "The gateway's client may not read tasks.",
};

export function createUpstreamHealth({
  clock,
  hasClient,
  pausedMs,
  probe,
}: UpstreamHealthParts): UpstreamHealth {
  let wellAt = -Infinity;
  let fault: Fault | null = null;
  /** When the first request was sent since upstream last answered any; null if none was. */
  let askedAt: number | null = null;
  const answerTime = new AnswerTime();
  /** Undefined before the first token. */
  let tokenError: GatewayError | null | undefined;
  let probedAt = -Infinity;
  let probing: Promise<void> | null = null;

  return {
    asked: () => void (askedAt ??= clock.monotonic()),
    attempted({ endpoint, status, tookMs, failure }) {
      if (status === 'aborted') return;
      askedAt = null;
      if (failure !== null && !isRefusal(failure)) {
        setFault(failure.explanation ?? failure.message);
        return;
      }
      // Tokens may come from another server than tasks.
      if (endpoint === 'token') return;
      answerTime.add(tookMs);
      // What a caller is refused says nothing about others, who have the same token: a probe tells.
      if (failure === null || status === 429 || !hasClient) wellAt = clock.monotonic();
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

  function setFault(reason: string): void {
    fault = { reason, at: clock.monotonic() };
  }

  function startProbe(): void {
    if (probing !== null || clock.monotonic() - probedAt < RECENT_MS) return;
    probedAt = clock.monotonic();
    const controller = new AbortController();
    const cancel = clock.after(PROBE_TIMEOUT_MS, () =>
      controller.abort(new Error('The probe took too long.')),
    );
    probing = probe(controller.signal)
      .then(() => {}, noteRefusal)
      .finally(() => {
        cancel();
        probing = null;
      });
  }

  /** If upstream refuses the gateway's own token, or its simplest request, it can serve no caller. */
  function noteRefusal(error: unknown): void {
    if (!hasClient || !(error instanceof AttemptFailure) || !isRefusal(error)) return;
    const { status } = error;
    if (status === 429) return;
    const refused = REFUSED[status ?? 0] ?? 'Upstream refuses to list tasks.';
    setFault(`${refused} (status ${status})`);
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
    if (tokenError === undefined) return { status: 'failed', reason: reasonOfNoTokenYet() };
    if (tokenError !== null) {
      const { upstream } = tokenError.extensions;
      const status = upstream === undefined ? '' : ` (status ${upstream.status})`;
      return { status: 'failed', reason: `${tokenError.message}${status}` };
    }
    return { status: 'ok' };
  }

  function upstreamStatus(): PartStatus {
    if (isRecent()) return { status: 'ok' };
    if (fault !== null && fault.at > wellAt) return { status: 'failed', reason: fault.reason };
    if (hasClient && tokenError !== null)
      return { status: 'unknown', reason: 'not asked, because there is no token' };
    const isNew = wellAt === -Infinity;
    if (askedAt === null && isNew)
      return { status: 'failed', reason: 'upstream has not been asked yet' };
    // Requests wait while upstream's Retry-After passes, or until the rules for a lost Redis allow
    // some. That is no reason to turn callers away: they would find every instance closed.
    if (askedAt === null)
      return {
        status: 'unknown',
        reason: `not asked, because the request budget ${isPaused() ? pause() : 'allows none now'}`,
      };
    const silentMs = clock.monotonic() - askedAt;
    if (!isNew && silentMs < patienceMs()) return { status: 'ok' };
    return { status: 'failed', reason: `upstream has not answered for ${toSeconds(silentMs)} s` };
  }

  function reasonOfNoTokenYet(): string {
    if (askedAt !== null) {
      const silentMs = clock.monotonic() - askedAt;
      return `upstream has not answered a request for a token for ${toSeconds(silentMs)} s`;
    }
    const reason = 'upstream has not granted a token yet';
    return isPaused() ? `${reason}: the request budget ${pause()}` : reason;
  }

  function isPaused(): boolean {
    return pausedMs() > 0;
  }

  function pause(): string {
    return `is paused for another ${Math.ceil(pausedMs() / 1000)} s`;
  }

  function patienceMs(): number {
    return Math.min(MAX_PATIENCE_MS, answerTime.upperBoundMs);
  }
}

function toSeconds(ms: number): number {
  return Math.round(ms / 1000);
}

/**
 * Whether it is a refusal in upstream's own words; a redirect or the answer of a firewall is none.
 */
function isRefusal({ diagnosis, explanation }: AttemptFailure): boolean {
  return diagnosis.health === 'healthy' && explanation === undefined;
}
