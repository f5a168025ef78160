import type { Dispatcher } from 'undici';
import { LightSignal } from './signal.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config.ts';
import { createDrift } from './drift.ts';
import { GatewayError } from './errors.ts';
import type { Fleet, GroupListener } from './fleet/fleet.ts';
import { createLocalGroup } from './fleet/local.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { createMemories } from './session/memory.ts';
import { createSession } from './session/session.ts';
import { type Sessions, createSessions } from './session/sessions.ts';
import type { Tracer } from './tracing.ts';
import { AttemptFailure } from './upstream/admission/attempt-failure.ts';
import { createBreaker } from './upstream/admission/breaker.ts';
import { createBudgets } from './upstream/admission/budgets.ts';
import { createPauseLog } from './upstream/admission/pause-log.ts';
import { type Proofs, createProofs } from './upstream/admission/proof.ts';
import { createRetries } from './upstream/admission/retry.ts';
import { createApi } from './upstream/api.ts';
import { createSendAttempt } from './upstream/attempt.ts';
import type { RequestObserver } from './upstream/attempt-report.ts';
import { type Credential, createServiceCredential } from './upstream/credentials.ts';
import { type UpstreamHealth, createUpstreamHealth } from './upstream/health.ts';
import { type Requests, createRequests } from './upstream/request.ts';

export type TenantOptions = Omit<Config, 'baseUrl' | 'sandbox'> & { baseUrl: URL };

export interface TenantParts {
  fleet: Fleet;
  dispatcher: Dispatcher;
  userAgent: string;
  clock: Clock;
  log: Log;
  metrics: Metrics;
  /** Null: polls are not traced. */
  tracer: Tracer | null;
}

/**
 * All access to the tenant: the sessions of callers, the gateway's own credential, and what they
 * share.
 */
export interface Tenant {
  sessions: Sessions;
  /** The gateway's own credential; null where callers bring theirs. */
  service: Credential | null;
  health: UpstreamHealth;
  /** Whether upstream, or a verifier, has accepted the token. */
  isProven(credential: Credential): boolean;
  /** Why a token was refused within the last minute; null if it was not. */
  refusalOf: Proofs['refusalOf'];
  /** Fails all requests under way, and those that come. */
  giveUp(): void;
  close(): void;
}

/** Builds what reads from the tenant and writes to it. */
export function createTenant(options: TenantOptions, parts: TenantParts): Tenant {
  const { baseUrl, rate } = options;
  const { fleet, dispatcher, userAgent, clock, log, metrics, tracer } = parts;
  const basePath = baseUrl.pathname.replace(/\/+$/, '');
  const send = createSendAttempt({
    dispatcher,
    origin: baseUrl.origin,
    timeoutMs: options.upstreamTimeoutMs,
    maxBodyBytes: MAX_BODY_BYTES,
    maxTotalBytes: MAX_TOTAL_BODY_BYTES,
    userAgent,
  });
  const pauseLog = createPauseLog(clock, log);
  const openWindow = (clientId: string) => fleet.openWindow(budgetName(clientId));
  const budgets = createBudgets(openWindow, rate, clock, forMs => {
    pauseLog.paused(forMs);
    metrics.budgetPaused();
  });
  const drift = createDrift(log);
  const apiParts = {
    version: options.apiVersion,
    basePath,
    maxUrlBytes: options.maxUrlBytes,
    onFallback: drift.record,
  };
  const observer: RequestObserver = {
    attempted(report) {
      metrics.attempted(report);
      health.attempted(report);
    },
    waited(lane, waitedMs) {
      metrics.waited(lane, waitedMs);
      health.asked();
    },
    refused: metrics.refused,
  };
  // Failures to connect affect every credential, so this breaker is shared. Other failures may be
  // due to one credential.
  const network = createBreaker({ clock, trips: ['unreachable'], onChange: onBreaker('network') });
  const closing = new LightSignal();
  const memories = createMemories({
    maxStalenessMs: options.maxStalenessMs,
    clock,
    onAsked: metrics.memoryAsked,
  });
  const proofs = createProofs({ clock });
  const isProven = ({ key, isVerified }: Credential) => isVerified || proofs.isProven(key);
  const sessions = createSessions({ open: openSession, isProven, clock });
  const service = openService();
  const health = createUpstreamHealth({
    clock,
    hasClient: service !== null,
    pausedMs: () => (service === null ? 0 : budgets.of(service.clientId).load().pausedForMs),
    probe: createProbe(),
  });
  metrics.attach({
    budgets: budgets.load,
    memory: () => memories.size,
    sessions: () => ({ count: sessions.size, ...sessions.watching() }),
    redis: fleet.status,
    hasToken: health.hasToken,
    drift: drift.counts,
  });

  return {
    sessions,
    service,
    health,
    isProven,
    refusalOf: proofs.refusalOf,
    giveUp,
    close() {
      giveUp();
      sessions.close();
      pauseLog.close();
      budgets.close();
    },
  };

  function giveUp(): void {
    closing.abort(new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.'));
  }

  /** Names shared state in Redis. Upstream counts requests by tenant, API version and client. */
  function budgetName(clientId: string): string {
    return JSON.stringify([baseUrl.host, options.apiVersion, clientId]);
  }

  /** The gateway's own credential; null where callers bring theirs. */
  function openService(): Credential | null {
    if (options.authMode === 'passthrough' || options.client === null) return null;
    return createServiceCredential(options.client, {
      requests: openRequests(options.client.id, null),
      tokenPath: `${basePath}/oauth/token`,
      clock,
      log,
      onToken: error => health.tokenFetched(error),
    });
  }

  /** One row is asked for. Without a client, upstream refuses that, which is an answer too. */
  function createProbe() {
    const clientId = service?.clientId ?? PROBE_CLIENT;
    let isRefused = false;
    const requests = createRequests({
      ...requestParts(clientId),
      credential: service && {
        token: service.token,
        // After a refusal, the next probe tries the new token.
        discard: token => service.discard(token) && !isRefused,
      },
      // One attempt tells; its failure is the answer.
      retries: { earn() {}, backoffMs: () => null },
    });
    const { list } = createApi({ ...apiParts, requests });
    return async (signal: AbortSignal) => {
      try {
        await list({ limit: 1 }, { lane: 'list-poll', signal });
        isRefused = false;
      } catch (error) {
        isRefused ||= error instanceof AttemptFailure && error.status === 401;
        throw error;
      }
    };
  }

  /**
   * Each credential has its own retries and breaker, because its failures say nothing about other
   * credentials.
   */
  function openRequests(clientId: string, credential: Credential | null): Requests {
    const shared = requestParts(clientId);
    return createRequests({
      ...shared,
      credential,
      proof:
        credential === null || credential.isVerified ? null : proofs.of(credential, shared.budget),
      caller: credential?.caller,
      retries: createRetries(),
    });
  }

  function requestParts(clientId: string) {
    return {
      send,
      budget: budgets.of(clientId),
      clock,
      log,
      breaker: createBreaker({
        clock,
        trips: ['failing'],
        within: network,
        onChange: onBreaker('credential'),
      }),
      timeoutMs: options.operationTimeoutMs,
      closing,
      observer,
    };
  }

  /** `guards`: whose requests it stops. */
  function onBreaker(guards: 'network' | 'credential') {
    return (isOpen: boolean) => {
      metrics.breakerChanged(isOpen);
      if (isOpen) log.warn({ guards }, 'circuit breaker opened: upstream fails');
      else log.info({ guards }, 'circuit breaker closed: upstream answers again');
    };
  }

  function openSession(credential: Credential) {
    const api = createApi({ ...apiParts, requests: openRequests(credential.clientId, credential) });
    return createSession({
      api,
      openGroup: listener => openGroup('tasks', listener),
      openAggregationGroup: listener => openGroup('aggregations', listener),
      memory: memories.of(credential.key),
      clock,
      log,
      intervalMs: options.progressIntervalMs,
      maxSubscribers: options.maxSubscriptionsPerCredential,
      onBatch: metrics.batchSent,
      observer: metrics,
      tracer,
    });

    function openGroup<M>(subject: 'tasks' | 'aggregations', listener: GroupListener<M>) {
      // A caller's own token is not shared with other instances, and neither is the data read with
      // it.
      if (!credential.isShared) return createLocalGroup(listener);
      const name = budgetName(credential.clientId);
      return fleet.openGroup(subject === 'tasks' ? name : `${name} ${subject}`, listener);
    }
  }
}

// The probe has a budget of its own: without a token, upstream counts the request for no client.
const PROBE_CLIENT = 'readiness probe';
// The size of a decoded body; 250 rows take about 300 kB.
const MAX_BODY_BYTES = 32 * 1_048_576;
const MAX_TOTAL_BODY_BYTES = 96 * 1_048_576;
