import { EnvHttpProxyAgent, fetch as fetchThrough } from 'undici';
import { type Clock, systemClock } from './clock.ts';
import { type Config, ConfigError } from './config.ts';
import { LOOPBACK_HOSTS } from './config/variables.ts';
import type { Fleet } from './fleet/fleet.ts';
import { createLocalFleet } from './fleet/local.ts';
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
import type { HttpServer } from './http/http-server.ts';
import { createHttpServer } from './http/server.ts';
import { type JwtOptions, createTokenVerifier } from './http/access/token-verifier.ts';
import { type Log, createLog } from './log.ts';
import { type Metrics, createMetrics } from './metrics.ts';
import { readVersion } from './package-folder.ts';
import { type Readiness, createReadinessCheck } from './readiness.ts';
import { toProxyOptions } from './proxy.ts';
import { createTenant } from './tenant.ts';
import { createTraceLog } from './trace-log.ts';
import { idsPerRequest } from './upstream/api.ts';

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
  /**
   * Whether the gateway can serve, and why not. Sends a request if upstream has not answered
   * lately.
   */
  checkReadiness(): Promise<Readiness>;
  /**
   * Closes all parts, after pending requests and streams have ended. Repeated calls return the same
   * promise.
   */
  close(): Promise<void>;
}

/** A gateway that listens on a port. */
export interface Gateway extends EmbeddedGateway {
  /** The URL of the GraphQL endpoint. */
  url: string;
  /** The URL of the metrics. */
  metricsUrl: string;
  /**
   * Gets the token of the gateway's own client, if it has one, before the first caller needs it.
   * Never rejects: a failure is logged.
   */
  fetchToken(): Promise<void>;
}

/**
 * Builds a gateway without a port; the host and the port of the configuration are not used. Throws
 * a ConfigError if the configuration names no tenant.
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
  const fleet = await openFleet();
  const userAgent = `task-status-gateway/${readVersion()}`;
  const dispatcher = new EnvHttpProxyAgent({
    ...toProxyOptions(options.proxy),
    connections: MAX_CONNECTIONS,
  });
  // The SDK is loaded only where it is needed: it takes time and memory.
  const tracer = options.isTraced
    ? (await import('./otlp-tracer.ts')).createOtlpTracer(readVersion(), createTraceLog(log))
    : null;
  const tenant = createTenant(options, {
    fleet,
    dispatcher,
    userAgent,
    clock,
    log,
    metrics,
    tracer,
  });
  const { sessions, service, isProven } = tenant;
  const readiness = createReadinessCheck({
    upstream: tenant.health,
    fleetStatus: fleet.status,
    isRedisRequired: options.redisStartup === 'require',
    notes: options.isSandbox ? [SANDBOX_NOTE] : [],
    log,
  });
  const records = createOperationRecords({ log, clock, metrics, tracer });
  let metricsServer: MetricsServer | null = null;
  const http = createHttpServer({
    ...options,
    pathPrefix,
    sessions,
    records,
    checkReadiness: readiness.check,
    giveUp: tenant.giveUp,
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
    async fetchToken() {
      await Promise.resolve(service?.token()).catch(() => {});
    },
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

  async function closeParts(): Promise<void> {
    tenant.close();
    await fleet.close();
    await dispatcher.destroy();
    await metricsServer?.close();
    await tracer?.close();
    metrics.close();
  }

  async function openFleet(): Promise<Fleet> {
    const { redisUrl, upstreamTimeoutMs: maxRequestMs } = options;
    if (redisUrl === null) return createLocalFleet(rate, clock);
    const { redisStartup: startup } = options;
    // The client of Redis is loaded only where there is one.
    const { createRedisFleet } = await import('./fleet/redis.ts');
    return createRedisFleet({ url: redisUrl, startup, limits: rate, clock, log, maxRequestMs });
  }

  function createAuthenticate() {
    if (options.authMode === 'passthrough')
      return createPassthroughAuthenticate(
        openVerifier('PASSTHROUGH_JWKS_URL', options.passthroughJwt),
        options.jwtClockToleranceSeconds,
        tenant.refusalOf,
      );
    if (service === null) throw new Error('AUTH_MODE=service needs a client.');
    const verify = openVerifier('JWKS_URL', options.jwt);
    return createServiceAuthenticate(service, verify, options.jwtClockToleranceSeconds);
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
}

// The default budget allows so many requests at once.
const MAX_CONNECTIONS = 100;

const SANDBOX_NOTE =
  'The tenant is the embedded sandbox: its tasks are invented. Set SAIL_BASE_URL for a real tenant.';
