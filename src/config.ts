import { z } from 'zod';
import { readRedisUrl } from './fleet/redis-url.ts';
import { LOG_LEVELS } from './log.ts';
import { API_VERSIONS } from './upstream/versions.ts';

/** A start that was refused: one line for each fault, naming the variable. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly string[];

  constructor(faults: readonly string[]) {
    super(faults.join('\n'));
    this.faults = faults;
  }
}

const LOOPBACK_HOSTS = new Set(['127.0.0.1', '::1', '[::1]', 'localhost']);

const Flag = z.enum(['true', 'false'], 'must be true or false').transform(text => text === 'true');
const SafeUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .transform(text => new URL(text))
  .refine(isSafe, 'must be https, unless the host is this machine');
const ProxyUrl = z.url({ protocol: /^https?$/, error: 'must be the http or https URL of a proxy' });
const CommaList = z.string().transform(list => list.split(',').map(item => item.trim()));

const Environment = z
  .object({
    SAIL_BASE_URL: SafeUrl.optional(),
    SAIL_CLIENT_ID: z.string().optional(),
    SAIL_CLIENT_SECRET: z.string().optional(),
    UPSTREAM_API_VERSION: z
      .enum(API_VERSIONS, `must be one of ${API_VERSIONS.join(', ')}`)
      .default('v1'),
    AUTH_MODE: z.enum(['passthrough', 'service'], 'must be passthrough or service').optional(),
    JWKS_URL: SafeUrl.optional(),
    JWT_ISSUER: z.string().optional(),
    JWT_AUDIENCE: z.string().optional(),
    PASSTHROUGH_JWKS_URL: SafeUrl.optional(),
    PASSTHROUGH_JWT_ISSUER: z.string().optional(),
    PASSTHROUGH_JWT_AUDIENCE: z.string().optional(),
    ROUTER_SECRET: z.string().min(16, 'must have 16 characters at the least').optional(),
    ROUTER_JWKS_URL: SafeUrl.optional(),
    ROUTER_JWT_ISSUER: z.string().optional(),
    ROUTER_JWT_AUDIENCE: z.string().optional(),
    DIRECT_TRAFFIC: z.enum(['allow', 'refuse'], 'must be allow or refuse').default('allow'),
    JWT_CLOCK_TOLERANCE_SECONDS: integer(0, 300).default(5),
    // In lower case, as curl reads them, they win.
    HTTP_PROXY: ProxyUrl.optional(),
    http_proxy: ProxyUrl.optional(),
    HTTPS_PROXY: ProxyUrl.optional(),
    https_proxy: ProxyUrl.optional(),
    NO_PROXY: z.string().optional(),
    no_proxy: z.string().optional(),
    HOST: z.string().default('127.0.0.1'),
    PORT: integer(0, 65_535).default(4_000),
    UPSTREAM_RATE_LIMIT: integer(1, 1_000_000).default(100),
    UPSTREAM_RATE_WINDOW_MS: integer(1, 3_600_000).default(10_000),
    UPSTREAM_TIMEOUT_MS: integer(1, 600_000).default(10_000),
    UPSTREAM_MAX_URL_BYTES: integer(500, 65_536).default(4_000),
    OPERATION_TIMEOUT_MS: integer(1, 600_000).default(30_000),
    MAX_STALENESS_MS: integer(0, 3_600_000).default(1_000),
    REDIS_URL: z
      .string()
      .superRefine((url, context) => {
        const message = redisUrlFaultOf(url);
        if (message !== null) context.addIssue({ code: 'custom', message });
      })
      .optional(),
    REDIS_STARTUP: z
      .enum(['continue', 'require'], 'must be continue or require')
      .default('continue'),
    PROGRESS_INTERVAL_MS: integer(1, 600_000).default(1_000),
    MAX_SUBSCRIPTIONS_PER_CONNECTION: integer(1, 1_000_000).default(200),
    MAX_SUBSCRIPTIONS_PER_CREDENTIAL: integer(1, 1_000_000).default(20_000),
    SUBSCRIPTION_CALLBACK_HOSTS: CommaList.default([]),
    FEDERATED_TRACING: Flag.default(false),
    MAX_COST: integer(1, 1_000_000_000).default(50_000),
    MAX_DEPTH: integer(1, 1_000).default(20),
    CORS_ORIGINS: CommaList.default([]),
    GRAPHIQL: Flag.optional(),
    INTROSPECTION: Flag.optional(),
    LOG_LEVEL: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('info'),
    SANDBOX_PORT: integer(0, 65_535).default(4_001),
    SANDBOX_SEED: integer(0, 2 ** 32 - 1).default(1),
    SANDBOX_TASKS: integer(0, 20_000).default(80),
    SANDBOX_ODDITIES: Flag.default(true),
    SANDBOX_SPEED: z.coerce
      .number('must be a number')
      .min(0.01, 'must be from 0.01 to 1000')
      .max(1_000, 'must be from 0.01 to 1000')
      .default(1),
  })
  .superRefine((env, context) => {
    const fault = (name: string, message: string) =>
      context.addIssue({ code: 'custom', path: [name], message });
    const isService = env.AUTH_MODE === 'service';
    if (isService && env.SAIL_BASE_URL && !(env.SAIL_CLIENT_ID && env.SAIL_CLIENT_SECRET))
      fault('SAIL_CLIENT_ID', 'must be set, and SAIL_CLIENT_SECRET with it, for AUTH_MODE=service');
    if (
      (env.AUTH_MODE ?? (env.SAIL_BASE_URL ? 'passthrough' : 'service')) === 'service' &&
      !env.JWKS_URL &&
      !LOOPBACK_HOSTS.has(env.HOST)
    )
      fault(
        'HOST',
        'must be a loopback address while AUTH_MODE=service runs without JWKS_URL: whoever reaches it would use its credentials',
      );
    if (env.JWKS_URL && !(env.JWT_ISSUER && env.JWT_AUDIENCE))
      fault('JWT_ISSUER', 'must be set, and JWT_AUDIENCE with it, where JWKS_URL is');
    if (env.ROUTER_JWKS_URL && !(env.ROUTER_JWT_ISSUER && env.ROUTER_JWT_AUDIENCE))
      fault(
        'ROUTER_JWT_ISSUER',
        'must be set, and ROUTER_JWT_AUDIENCE with it, where ROUTER_JWKS_URL is',
      );
    if (env.DIRECT_TRAFFIC === 'refuse' && !env.ROUTER_SECRET && !env.ROUTER_JWKS_URL)
      fault(
        'DIRECT_TRAFFIC',
        'can be refuse only where ROUTER_SECRET or ROUTER_JWKS_URL tells the router apart',
      );
    for (const host of env.SUBSCRIPTION_CALLBACK_HOSTS)
      if (!isHost(host))
        fault(
          'SUBSCRIPTION_CALLBACK_HOSTS',
          `must be hosts such as router.example.com or 10.0.0.7:4000; ${JSON.stringify(host)} is none`,
        );
    for (const origin of env.CORS_ORIGINS)
      if (!URL.canParse(origin) || new URL(origin).origin !== origin)
        fault(
          'CORS_ORIGINS',
          `must be origins such as https://app.example.com; ${JSON.stringify(origin)} is none`,
        );
  });

/** Everything that is set from outside. The parts are given values of it, never the whole. */
export type Config = ReturnType<typeof readConfig>;

/** The environment, checked: every fault at once, one line each, naming the variable. */
export function readConfig(env: NodeJS.ProcessEnv) {
  // A blank variable is an absent one; coerced, it would be 0.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value?.trim() !== ''));
  const { data, error } = Environment.safeParse(given);
  if (error)
    throw new ConfigError(error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`));

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
    host: data.HOST,
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
    callbackHosts: data.SUBSCRIPTION_CALLBACK_HOSTS,
    federatedTracing: data.FEDERATED_TRACING,
    limits: { complexity: data.MAX_COST, depth: data.MAX_DEPTH },
    corsOrigins: data.CORS_ORIGINS,
    graphiql: data.GRAPHIQL ?? isLocal,
    introspection: data.INTROSPECTION ?? isLocal,
    logLevel: data.LOG_LEVEL,
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

function redisUrlFaultOf(text: string): string | null {
  try {
    readRedisUrl(text);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A name or an address, with a port or without: of two schemes, because a URL leaves its own port out. */
function isHost(text: string): boolean {
  return ['http', 'https'].some(scheme => {
    const url = `${scheme}://${text}`;
    return URL.canParse(url) && new URL(url).host === text;
  });
}

function integer(least: number, most: number) {
  const message = `must be a whole number from ${least} to ${most}`;
  return z.coerce.number(message).int(message).min(least, message).max(most, message);
}

/** Tokens travel to this place: in the clear only within the machine. */
function isSafe({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || LOOPBACK_HOSTS.has(hostname);
}
