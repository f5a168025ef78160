import type { FleetStatus } from './fleet/fleet.ts';
import type { Log } from './log.ts';
import type { PartStatus, UpstreamHealth } from './upstream/health.ts';

/** Whether the gateway can serve requests, and what each part of it says to that. */
export interface Readiness {
  status: 'ready' | 'unready' | 'draining';
  parts: {
    /** Only where the gateway has credentials of its own. */
    token?: PartStatus;
    upstream: PartStatus;
    /** Only with REDIS_URL. `degraded`: the gateway goes on without it. */
    redis?: { status: 'ok' | 'degraded' | 'failed'; reason?: string };
  };
  /** What else an operator should know. */
  notes: string[];
}

export interface ReadinessParts {
  upstream: Pick<UpstreamHealth, 'check'>;
  fleetStatus(): FleetStatus | null;
  /** Whether the gateway must not serve without Redis. */
  isRedisRequired: boolean;
  notes: string[];
  log: Pick<Log, 'info' | 'warn'>;
}

/** Answers readiness probes, and logs each change. */
export interface ReadinessCheck {
  check(): Promise<Readiness>;
  /** From now on it is not ready. */
  drain(): void;
}

const NOT_ASKED: PartStatus = {
  status: 'unknown',
  reason: 'not asked, because the gateway is shutting down',
};

export function createReadinessCheck(options: ReadinessParts): ReadinessCheck {
  const { upstream, fleetStatus, isRedisRequired, notes, log } = options;
  let isDraining = false;
  let lastLogged: string | null = null;

  return {
    async check() {
      // Nothing is asked of upstream any more.
      if (isDraining) return { status: 'draining', parts: { upstream: NOT_ASKED }, notes };
      const { token, upstream: upstreamStatus } = await upstream.check();
      const redis = redisStatus();
      const parts: Readiness['parts'] = {
        ...(token && { token }),
        upstream: upstreamStatus,
        ...(redis && { redis }),
      };
      const isReady = Object.values(parts).every(({ status }) => status !== 'failed');
      const readiness: Readiness = { status: isReady ? 'ready' : 'unready', parts, notes };
      logChange(readiness);
      return readiness;
    },
    drain: () => void (isDraining = true),
  };

  function redisStatus(): Readiness['parts']['redis'] {
    const status = fleetStatus();
    if (status === null) return undefined;
    if (status.isConnected) return { status: 'ok' };
    return {
      status: isRedisRequired ? 'failed' : 'degraded',
      reason: status.reason ?? 'disconnected',
    };
  }

  function logChange({ status, parts }: Readiness): void {
    const faults = Object.fromEntries(
      Object.entries(parts).flatMap(([name, { reason }]) =>
        reason === undefined ? [] : [[name, reason]],
      ),
    );
    // A reason may count seconds: what changes is which parts fail.
    const state = `${status} ${Object.keys(faults).join(' ')}`;
    if (state === lastLogged || (lastLogged === null && state === 'ready ')) {
      lastLogged = state;
      return;
    }
    lastLogged = state;
    if (status === 'ready') log.info(faults, 'ready');
    else log.warn(faults, 'not ready');
  }
}
