import { checkEnvironment } from './config/checks.ts';
import { Environment, SECRETS } from './config/environment.ts';
import { readGivenValues } from './config/given-values.ts';
import { LOOPBACK_HOSTS } from './config/variables.ts';

/**
 * An invalid configuration. `faults` has one line for each invalid variable, starting with its
 * name.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

/** The configuration. Parts receive single values of it, never the whole. */
export type Config = ReturnType<typeof readConfig>;

/** Reads and checks the environment. Throws a ConfigError with all faults at once. */
export function readConfig(env: NodeJS.ProcessEnv) {
  const names = Object.keys(Environment.shape);
  const { values, faults } = readGivenValues(env, { names, secrets: SECRETS });
  const { data, error } = Environment.safeParse(values);
  for (const { path, message } of error?.issues ?? []) faults.push(`${path.join('.')}: ${message}`);
  // After a fault, a variable may seem to be missing that is only misspelt.
  if (data !== undefined && faults.length === 0)
    checkEnvironment(data, (name, message) => void faults.push(`${name}: ${message}`));
  if (data === undefined || faults.length > 0) throw new ConfigError([...new Set(faults)]);

  const isLocal = LOOPBACK_HOSTS.has(data.HOST);
  return {
    baseUrl: data.SAIL_BASE_URL ?? null,
    apiVersion: data.UPSTREAM_API_VERSION,
    authMode:
      data.AUTH_MODE ?? (data.SAIL_BASE_URL ? ('passthrough' as const) : ('service' as const)),
    client:
      data.SAIL_CLIENT_ID && data.SAIL_CLIENT_SECRET
        ? { id: data.SAIL_CLIENT_ID, secret: data.SAIL_CLIENT_SECRET }
        : null,
    jwt: toJwtOptions(data.JWKS_URL, data.JWT_ISSUER, data.JWT_AUDIENCE),
    passthroughJwt: data.PASSTHROUGH_JWKS_URL
      ? {
          jwksUrl: data.PASSTHROUGH_JWKS_URL,
          issuer: data.PASSTHROUGH_JWT_ISSUER ?? null,
          audience: data.PASSTHROUGH_JWT_AUDIENCE ?? null,
        }
      : null,
    router: {
      secret: data.ROUTER_SECRET ?? null,
      jwt: toJwtOptions(data.ROUTER_JWKS_URL, data.ROUTER_JWT_ISSUER, data.ROUTER_JWT_AUDIENCE),
    },
    jwtClockToleranceSeconds: data.JWT_CLOCK_TOLERANCE_SECONDS,
    proxy: {
      httpProxy: data.http_proxy ?? data.HTTP_PROXY ?? null,
      httpsProxy: data.https_proxy ?? data.HTTPS_PROXY ?? null,
      noProxy: data.no_proxy ?? data.NO_PROXY ?? '',
    },
    isRouterOnly: data.DIRECT_TRAFFIC === 'refuse',
    // An IPv6 address may be written as in a URL.
    host: data.HOST.replace(/^\[(.*)\]$/, '$1'),
    port: data.PORT,
    rate: { limit: data.UPSTREAM_RATE_LIMIT, windowMs: data.UPSTREAM_RATE_WINDOW_MS },
    upstreamTimeoutMs: data.UPSTREAM_TIMEOUT_MS,
    maxUrlBytes: data.UPSTREAM_MAX_URL_BYTES,
    operationTimeoutMs: data.OPERATION_TIMEOUT_MS,
    maxStalenessMs: data.MAX_STALENESS_MS,
    redisUrl: data.REDIS_URL ?? null,
    redisStartup: data.REDIS_STARTUP,
    progressIntervalMs: data.PROGRESS_INTERVAL_MS,
    maxSubscriptionsPerConnection: data.MAX_SUBSCRIPTIONS_PER_CONNECTION,
    maxSubscriptionsPerCredential: data.MAX_SUBSCRIPTIONS_PER_CREDENTIAL,
    trustedProxies: data.TRUST_PROXY,
    maxConnections: data.MAX_CONNECTIONS,
    maxConnectionsPerAddress:
      data.MAX_CONNECTIONS_PER_ADDRESS ??
      // Without trusted proxies, one address may be a load balancer in front of all clients.
      (data.TRUST_PROXY.length > 0 ? 1_000 : 15_000),
    maxOperations: data.MAX_OPERATIONS,
    maxMessagesPerSecond: data.MAX_MESSAGES_PER_SECOND,
    maxUnreadBytes: data.MAX_UNREAD_BYTES,
    clientTimeoutMs: data.CLIENT_TIMEOUT_MS,
    keepAliveTimeoutMs: data.KEEP_ALIVE_TIMEOUT_MS,
    shutdown: { delayMs: data.SHUTDOWN_DELAY_MS, graceMs: data.SHUTDOWN_GRACE_MS },
    callbackHosts: data.SUBSCRIPTION_CALLBACK_HOSTS,
    federatedTracing: data.FEDERATED_TRACING,
    maxBodyBytes: data.MAX_BODY_BYTES,
    limits: {
      tokens: data.MAX_TOKENS,
      aliases: data.MAX_ALIASES,
      rootFields: data.MAX_ROOT_FIELDS,
      directives: data.MAX_DIRECTIVES,
      depth: data.MAX_DEPTH,
      complexity: data.MAX_COST,
      upstreamRequests: data.MAX_UPSTREAM_REQUESTS,
    },
    persistedDocuments: {
      manifest: data.PERSISTED_DOCUMENTS ?? null,
      isManifestOnly: data.PERSISTED_DOCUMENTS_ONLY,
      isAutomatic: data.AUTOMATIC_PERSISTED_QUERIES,
    },
    corsOrigins: data.CORS_ORIGINS,
    graphiql: data.GRAPHIQL ?? isLocal,
    board: data.BOARD,
    introspection: data.INTROSPECTION ?? isLocal,
    suggestions: data.SUGGESTIONS ?? isLocal,
    /** Whether traces are sent. The OpenTelemetry SDK reads its other variables itself. */
    isTraced:
      (data.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT ?? data.OTEL_EXPORTER_OTLP_ENDPOINT) !== undefined &&
      data.OTEL_TRACES_EXPORTER !== 'none' &&
      data.OTEL_SDK_DISABLED !== 'true',
    logLevel: data.LOG_LEVEL,
    logFormat: data.LOG_FORMAT,
    metricsPort: data.METRICS_PORT ?? null,
    sandbox: {
      port: data.SANDBOX_PORT,
      seed: data.SANDBOX_SEED,
      tasks: data.SANDBOX_TASKS,
      speed: data.SANDBOX_SPEED,
      oddities: data.SANDBOX_ODDITIES,
    },
  };
}

function toJwtOptions(
  jwksUrl: URL | undefined,
  issuer: string | undefined,
  audience: string | undefined,
) {
  return jwksUrl && issuer && audience ? { jwksUrl, issuer, audience } : null;
}
