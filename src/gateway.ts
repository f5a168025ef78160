import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { EnvHttpProxyAgent, fetch as fetchThrough } from 'undici';
import { type Clock, systemClock } from './clock.ts';
import { type Config, ConfigError } from './config.ts';
import { LOOPBACK_HOSTS } from './config/variables.ts';
import { createDrift } from './drift.ts';
import { GatewayError } from './errors.ts';
import type { Fleet, GroupListener } from './fleet/fleet.ts';
import { createLocalFleet, createLocalGroup } from './fleet/local.ts';
import { createRedisFleet } from './fleet/redis.ts';
import {
  createPassthroughAuthenticate,
  createServiceAuthenticate,
} from './http/access/authenticate.ts';
import { createClientAddress } from './http/access/client-address.ts';
import { createMaskError } from './http/access/mask-error.ts';
import { createRouterTrust } from './http/access/router-trust.ts';
import type { FetchOptions, GatewayFetch } from './http/in-memory-fetch.ts';
import {
  METRICS_PATH,
  type MetricsServer,
  startMetricsServer,
} from './http/observation/metrics-server.ts';
import { createOperationRecords } from './http/observation/operation-records.ts';
import { type HttpServer, createHttpServer } from './http/server.ts';
import { type JwtOptions, createTokenVerifier } from './http/access/token-verifier.ts';
import { type Log, createLog } from './log.ts';
import { type Metrics, createMetrics } from './metrics.ts';
import { type Readiness, createReadinessCheck } from './readiness.ts';
import { toProxyOptions } from './proxy.ts';
import { createMemories } from './session/memory.ts';
import { createSession } from './session/session.ts';
import { createSessions } from './session/sessions.ts';
import { createBreaker } from './upstream/admission/breaker.ts';
import { createBudgets } from './upstream/admission/budgets.ts';
import { createPauseLog } from './upstream/admission/pause-log.ts';
import { createProofs } from './upstream/admission/proof.ts';
import { createRetries } from './upstream/admission/retry.ts';
import { createApi, idsPerRequest } from './upstream/api.ts';
import { createSendAttempt } from './upstream/attempt.ts';
import { type Credential, createServiceCredential } from './upstream/credentials.ts';
import { createUpstreamHealth } from './upstream/health.ts';
import type { RequestObserver } from './upstream/attempt-report.ts';
import { type Requests, createRequests } from './upstream/request.ts';

export { ConfigError, readConfig, type Config } from './config.ts';
export type { Clock, FetchOptions, GatewayFetch, Log, Metrics, Readiness };

/** The configuration, with the URL of a tenant. */
export type GatewayOptions = Omit<Config, 'baseUrl' | 'sandbox'> & {
  baseUrl: URL;
  /** Whether the tenant is the embedded sandbox. Readiness then says so. */
  isSandbox?: boolean;
};

/** The configuration of a gateway without a port of its own. */
export type EmbeddedGatewayOptions = Omit<Config, 'sandbox'> & {
  /** The path under which the application serves the gateway, such as `/api`. Default: the root. */
  pathPrefix?: string;
};

/** A gateway that an application embeds: it gets its requests from the application's server. */
export interface EmbeddedGateway extends Omit<HttpServer, 'listen'> {
  /** Whether the gateway can serve, and why not. Sends a request if upstream has not answered lately. */
  checkReadiness(): Promise<Readiness>;
  /** Closes all parts, after pending requests and streams have ended. Repeated calls return the same promise. */
  close(): Promise<void>;
}

/** A gateway that listens on a port. */
export interface Gateway extends EmbeddedGateway {
  /** The URL of the GraphQL endpoint. */
  url: string;
  /** The URL of the metrics. */
  metricsUrl: string;
  /**
   * Gets the token of the gateway's own client, if it has one, before the first caller needs it. Never rejects: a
   * failure is logged.
   */
  fetchToken(): Promise<void>;
}

/**
 * Builds a gateway without a port; the host and the port of the configuration are not used. Throws a
 * ConfigError if the configuration names no tenant.
 */
export async function createGateway(
  { baseUrl, pathPrefix = '', ...options }: EmbeddedGatewayOptions,
  clock: Clock = systemClock,
  log: Log = createLog(options.logLevel, options.logFormat),
  metrics: Metrics = createMetrics(),
): Promise<EmbeddedGateway> {
  if (baseUrl === null)
    throw new ConfigError(['SAIL_BASE_URL: an embedded gateway needs the URL of a tenant']);
  const { fetch, handle, upgrade, checkReadiness, close } = await build(
    { ...options, baseUrl },
    pathPrefix,
    clock,
    log,
    metrics,
  );
  return { fetch, handle, upgrade, checkReadiness, close };
}

/** Builds all parts and starts listening. */
export async function startGateway(
  options: GatewayOptions,
  clock: Clock = systemClock,
  log: Log = createLog(options.logLevel, options.logFormat),
  metrics: Metrics = createMetrics(),
): Promise<Gateway> {
  const { listen, ...gateway } = await build(options, '', clock, log, metrics);
  try {
    return { ...gateway, ...(await listen()) };
  } catch (error) {
    await gateway.close();
    throw error;
  }
}

/** What both kinds of gateways are made of. */
interface Parts extends Omit<HttpServer, 'listen'>, Pick<Gateway, 'checkReadiness' | 'fetchToken'> {
  /** Listens at the host and the ports of the configuration. */
  listen(): Promise<Pick<Gateway, 'url' | 'metricsUrl'>>;
}

async function build(
  options: GatewayOptions,
  pathPrefix: string,
  clock: Clock,
  log: Log,
  metrics: Metrics,
): Promise<Parts> {
  const { baseUrl, rate } = options;
  const basePath = baseUrl.pathname.replace(/\/+$/, '');
  const fleet = await openFleet();
  const userAgent = `task-status-gateway/${readVersion()}`;
  const dispatcher = new EnvHttpProxyAgent({
    ...toProxyOptions(options.proxy),
    connections: MAX_CONNECTIONS,
  });
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
    waited: metrics.waited,
    refused: metrics.refused,
  };
  // Failures to connect affect every credential, so this breaker is shared. Other failures may be due
  // to one credential.
  const network = createBreaker({ clock, trips: ['unreachable'], onChange: onBreaker('network') });
  const closing = new AbortController();
  // Every pending request adds a listener, so many listeners are not a leak.
  setMaxListeners(0, closing.signal);
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
    probe: createProbe(),
  });
  const readiness = createReadinessCheck({
    upstream: health,
    fleetStatus: fleet.status,
    isRedisRequired: options.redisStartup === 'require',
    notes: options.isSandbox ? [SANDBOX_NOTE] : [],
    log,
  });
  metrics.attach({
    budgets: budgets.load,
    memory: () => memories.size,
    sessions: () => ({ count: sessions.size, ...sessions.watching() }),
    redis: fleet.status,
    drift: drift.counts,
  });
  // The SDK is loaded only where it is needed: it takes time and memory.
  const tracer = options.isTraced
    ? (await import('./otlp-tracer.ts')).createOtlpTracer(readVersion())
    : null;
  const records = createOperationRecords({ log, clock, metrics, tracer });
  let metricsServer: MetricsServer | null = null;
  const http = createHttpServer({
    ...options,
    pathPrefix,
    sessions,
    records,
    checkReadiness: readiness.check,
    metrics: options.metricsPort === null ? metrics : null,
    authenticate: createAuthenticate(),
    isProven,
    clientAddress: createClientAddress(options.trustedProxies),
    isOpen:
      options.authMode === 'service' &&
      options.jwt === null &&
      // What the sandbox holds is invented: there is nothing to protect from other sites.
      !(options.isSandbox && !LOOPBACK_HOSTS.has(options.host)),
    routerTrust: createRouterTrust({
      secret: options.router.secret,
      verify: openVerifier('ROUTER_JWKS_URL', options.router.jwt),
    }),
    userAgent,
    log,
    limits: { ...options.limits, idsPerRequest: idsPerRequest(options.maxUrlBytes) },
    maskError: createMaskError(log, { hidesSuggestions: !options.suggestions }),
    clock,
  });

  log.info(
    {
      tenant: options.isSandbox ? 'sandbox' : baseUrl.host,
      authMode: options.authMode,
      apiVersion: options.apiVersion,
      version: readVersion(),
    },
    'started',
  );
  let closed: Promise<void> | null = null;
  return {
    ...http,
    listen,
    checkReadiness: readiness.check,
    fetchToken: async () => void (await service?.token().catch(() => {})),
    close: () => (closed ??= close()),
  };

  async function listen() {
    const url = await http.listen(options.host, options.port);
    if (options.metricsPort !== null)
      metricsServer = await startMetricsServer(options.host, options.metricsPort, metrics);
    return { url, metricsUrl: metricsServer?.url ?? new URL(METRICS_PATH, url).href };
  }

  async function close(): Promise<void> {
    log.info('shutting down');
    readiness.drain();
    await http.close();
    await closeParts();
  }

  /** Names shared state in Redis. Upstream counts requests by tenant, API version and client. */
  function budgetName(clientId: string): string {
    return JSON.stringify([baseUrl.host, options.apiVersion, clientId]);
  }

  async function closeParts(): Promise<void> {
    closing.abort(new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.'));
    sessions.close();
    pauseLog.close();
    budgets.close();
    await fleet.close();
    await dispatcher.destroy();
    await metricsServer?.close();
    await tracer?.close();
    metrics.close();
  }

  function openFleet(): Fleet | Promise<Fleet> {
    const { redisUrl, upstreamTimeoutMs: maxRequestMs } = options;
    if (redisUrl === null) return createLocalFleet(rate, clock);
    const { redisStartup: startup } = options;
    return createRedisFleet({ url: redisUrl, startup, limits: rate, clock, log, maxRequestMs });
  }

  function createAuthenticate() {
    if (options.authMode === 'passthrough')
      return createPassthroughAuthenticate(
        openVerifier('PASSTHROUGH_JWKS_URL', options.passthroughJwt),
        options.jwtClockToleranceSeconds,
        proofs.refusalOf,
      );
    if (service === null) throw new Error('AUTH_MODE=service needs a client.');
    const verify = openVerifier('JWKS_URL', options.jwt);
    return createServiceAuthenticate(service, verify, options.jwtClockToleranceSeconds);
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
    const requests = createRequests({
      ...requestParts(clientId),
      credential: service,
      // One attempt tells; its failure is the answer.
      retries: { earn() {}, backoffMs: () => null },
    });
    const { list } = createApi({ ...apiParts, requests });
    return (signal: AbortSignal) => list({ limit: 1 }, { lane: 'list-poll', signal });
  }

  function openVerifier(variable: string, jwt: JwtOptions | null) {
    if (jwt === null) return null;
    return createTokenVerifier(variable, jwt, {
      fetch: fetchKeys,
      clock,
      log,
      clockToleranceSeconds: options.jwtClockToleranceSeconds,
    });
  }

  async function fetchKeys(...[url, init]: Parameters<typeof fetch>): Promise<Response> {
    const headers = { ...Object.fromEntries(new Headers(init?.headers)), 'user-agent': userAgent };
    // Not Node's own fetch, which does not use the proxy.
    const response = await fetchThrough(url as string, {
      ...(init as object),
      headers,
      dispatcher,
    });
    return response as unknown as Response;
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
      closing: closing.signal,
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
    });

    function openGroup<M>(subject: 'tasks' | 'aggregations', listener: GroupListener<M>) {
      // A caller's own token is not shared with other instances, and neither is the data read with it.
      if (!credential.isShared) return createLocalGroup(listener);
      const name = budgetName(credential.clientId);
      return fleet.openGroup(subject === 'tasks' ? name : `${name} ${subject}`, listener);
    }
  }
}

const SANDBOX_NOTE =
  'The tenant is the embedded sandbox: its tasks are invented. Set SAIL_BASE_URL for a real tenant.';
// The probe has a budget of its own: without a token, upstream counts the request for no client.
const PROBE_CLIENT = 'readiness probe';
// The size of a decoded body; 250 rows take about 300 kB.
const MAX_BODY_BYTES = 32 * 1_048_576;
const MAX_TOTAL_BODY_BYTES = 96 * 1_048_576;
// The default budget allows so many requests at once.
const MAX_CONNECTIONS = 100;

/** The version of the package. */
export function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
