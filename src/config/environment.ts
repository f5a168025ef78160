import * as z from 'zod';
import { API_VERSIONS } from '../upstream/versions.ts';
import { LOG_FORMATS, LOG_LEVELS } from '../log.ts';
import { DocumentManifest } from './document-manifest.ts';
import {
  CollectorUrl,
  CommaList,
  Flag,
  Host,
  HttpProtocol,
  ProxyUrl,
  RedisUrl,
  SafeUrl,
  TenantUrl,
  integer,
} from './variables.ts';

/** The environment variables. Combinations are checked in checks.ts. */
export const Environment = z.object({
  SAIL_BASE_URL: TenantUrl.optional(),
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
  ROUTER_SECRET: z.string().min(16, 'must have at least 16 characters').optional(),
  ROUTER_JWKS_URL: SafeUrl.optional(),
  ROUTER_JWT_ISSUER: z.string().optional(),
  ROUTER_JWT_AUDIENCE: z.string().optional(),
  DIRECT_TRAFFIC: z.enum(['allow', 'refuse'], 'must be allow or refuse').default('allow'),
  JWT_CLOCK_TOLERANCE_SECONDS: integer(0, 300).default(5),
  // The lower-case names, which curl reads, take precedence.
  HTTP_PROXY: ProxyUrl.optional(),
  http_proxy: ProxyUrl.optional(),
  HTTPS_PROXY: ProxyUrl.optional(),
  https_proxy: ProxyUrl.optional(),
  NO_PROXY: z.string().optional(),
  no_proxy: z.string().optional(),
  HOST: Host.default('127.0.0.1'),
  PORT: integer(0, 65_535).default(4_000),
  UPSTREAM_RATE_LIMIT: integer(1, 1_000_000).default(100),
  UPSTREAM_RATE_WINDOW_MS: integer(1, 3_600_000).default(10_000),
  UPSTREAM_TIMEOUT_MS: integer(1, 600_000).default(10_000),
  UPSTREAM_MAX_URL_BYTES: integer(500, 65_536).default(4_000),
  OPERATION_TIMEOUT_MS: integer(1, 600_000).default(30_000),
  MAX_STALENESS_MS: integer(0, 3_600_000).default(1_000),
  REDIS_URL: RedisUrl.optional(),
  REDIS_STARTUP: z.enum(['continue', 'require'], 'must be continue or require').default('continue'),
  PROGRESS_INTERVAL_MS: integer(1, 600_000).default(1_000),
  MAX_SUBSCRIPTIONS_PER_CONNECTION: integer(1, 1_000_000).default(200),
  MAX_SUBSCRIPTIONS_PER_CREDENTIAL: integer(1, 1_000_000).default(20_000),
  TRUST_PROXY: CommaList.default([]),
  MAX_CONNECTIONS: integer(1, 1_000_000).default(20_000),
  MAX_CONNECTIONS_PER_ADDRESS: integer(1, 1_000_000).optional(),
  MAX_OPERATIONS: integer(1, 10_000_000).default(50_000),
  MAX_MESSAGES_PER_SECOND: integer(1, 1_000_000).default(100),
  MAX_UNREAD_BYTES: integer(1_024, 1_073_741_824).default(1_048_576),
  CLIENT_TIMEOUT_MS: integer(100, 600_000).default(30_000),
  KEEP_ALIVE_TIMEOUT_MS: integer(1_000, 600_000).default(65_000),
  SHUTDOWN_DELAY_MS: integer(0, 600_000).default(0),
  SHUTDOWN_GRACE_MS: integer(100, 600_000).default(10_000),
  SUBSCRIPTION_CALLBACK_HOSTS: CommaList.default([]),
  FEDERATED_TRACING: Flag.default(false),
  MAX_BODY_BYTES: integer(1_024, 104_857_600).default(262_144),
  MAX_TOKENS: integer(10, 10_000_000).default(15_000),
  MAX_ALIASES: integer(0, 1_000_000).default(500),
  MAX_ROOT_FIELDS: integer(1, 1_000_000).default(500),
  MAX_DIRECTIVES: integer(0, 1_000_000).default(50),
  MAX_UPSTREAM_REQUESTS: integer(1, 1_000_000).default(100),
  MAX_COST: integer(1, 1_000_000_000).default(50_000),
  MAX_DEPTH: integer(1, 1_000).default(20),
  CORS_ORIGINS: CommaList.default([]),
  PERSISTED_DOCUMENTS: DocumentManifest.optional(),
  PERSISTED_DOCUMENTS_ONLY: Flag.default(false),
  AUTOMATIC_PERSISTED_QUERIES: Flag.default(true),
  SUGGESTIONS: Flag.optional(),
  GRAPHIQL: Flag.optional(),
  BOARD: Flag.default(true),
  INTROSPECTION: Flag.optional(),
  LOG_LEVEL: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('info'),
  LOG_FORMAT: z.enum(LOG_FORMATS, `must be one of ${LOG_FORMATS.join(', ')}`).default('json'),
  // The OpenTelemetry SDK reads these too, and more that need no check here.
  OTEL_EXPORTER_OTLP_ENDPOINT: CollectorUrl.optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: CollectorUrl.optional(),
  OTEL_EXPORTER_OTLP_PROTOCOL: HttpProtocol.optional(),
  OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: HttpProtocol.optional(),
  OTEL_TRACES_EXPORTER: z.enum(['otlp', 'none'], 'must be otlp or none').optional(),
  OTEL_SDK_DISABLED: z.string().toLowerCase().optional(),
  METRICS_PORT: integer(0, 65_535).optional(),
  SANDBOX: Flag.default(false),
  SANDBOX_PORT: integer(0, 65_535).default(4_001),
  SANDBOX_SEED: integer(0, 2 ** 32 - 1).default(1),
  SANDBOX_TASKS: integer(0, 20_000).default(80),
  SANDBOX_ODDITIES: Flag.default(true),
  SANDBOX_SPEED: z.coerce
    .number('must be a number')
    .min(0.01, 'must be from 0.01 to 1000')
    .max(1_000, 'must be from 0.01 to 1000')
    .default(1),
});

/** Variables that hold a secret. Each can be read from a file, whose path is in `…_FILE`. */
export const SECRETS = [
  'SAIL_CLIENT_ID',
  'SAIL_CLIENT_SECRET',
  'REDIS_URL',
  'ROUTER_SECRET',
  'HTTP_PROXY',
  'HTTPS_PROXY',
] as const satisfies readonly (keyof typeof Environment.shape)[];

/** The parsed variables. */
export type EnvironmentValues = z.infer<typeof Environment>;
