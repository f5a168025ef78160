import { setMaxListeners } from 'node:events';
import { readFileSync } from 'node:fs';
import { EnvHttpProxyAgent, fetch as fetchThrough } from 'undici';
import { type Clock, systemClock } from './clock.ts';
import type { Config } from './config.ts';
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
import { startHttpServer } from './http/server.ts';
import { type JwtOptions, createTokenVerifier } from './http/access/token-verifier.ts';
import { type Log, createLog } from './log.ts';
import { toProxyOptions } from './proxy.ts';
import { createMemories } from './session/memory.ts';
import { createSession } from './session/session.ts';
import { createSessions } from './session/sessions.ts';
import { createBreaker } from './upstream/admission/breaker.ts';
import { createBudgets } from './upstream/admission/budgets.ts';
import { createProofs } from './upstream/admission/proof.ts';
import { createRetries } from './upstream/admission/retry.ts';
import { createApi, idsPerRequest } from './upstream/api.ts';
import { createSendAttempt } from './upstream/attempt.ts';
import { type Credential, createServiceCredential } from './upstream/credentials.ts';
import { type Requests, createRequests } from './upstream/request.ts';

export { ConfigError, readConfig, type Config } from './config.ts';

/** The configuration, with the URL of a tenant. */
export type GatewayOptions = Omit<Config, 'baseUrl' | 'sandbox'> & { baseUrl: URL };

/** A running gateway. */
export interface Gateway {
  /** The URL of the GraphQL endpoint. */
  url: string;
  /** Closes all parts. Repeated calls return the same promise. */
  close(): Promise<void>;
}

/** Builds all parts and starts listening. */
export async function startGateway(
  options: GatewayOptions,
  clock: Clock = systemClock,
  log: Log = createLog(options.logLevel),
): Promise<Gateway> {
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
  const budgets = createBudgets(clientId => fleet.openWindow(budgetName(clientId)), rate, clock);
  const drift = createDrift(log);
  // Failures to connect affect every credential, so this breaker is shared. Other failures may be due
  // to one credential.
  const network = createBreaker({ clock, trips: ['unreachable'] });
  const closing = new AbortController();
  // Every pending request adds a listener, so many listeners are not a leak.
  setMaxListeners(0, closing.signal);
  const memories = createMemories({ maxStalenessMs: options.maxStalenessMs, clock });
  const proofs = createProofs({ clock });
  const isProven = ({ key, isVerified }: Credential) => isVerified || proofs.isProven(key);
  const sessions = createSessions({ open: openSession, isProven, clock });
  const http = await startHttpServer({
    ...options,
    sessions,
    authenticate: createAuthenticate(),
    isProven,
    clientAddress: createClientAddress(options.trustedProxies),
    isOpen: options.authMode === 'service' && options.jwt === null,
    routerTrust: createRouterTrust({
      secret: options.router.secret,
      verify: openVerifier('ROUTER_JWKS_URL', options.router.jwt),
    }),
    userAgent,
    log,
    limits: { ...options.limits, idsPerRequest: idsPerRequest(options.maxUrlBytes) },
    maskError: createMaskError(log, { hidesSuggestions: !options.suggestions }),
    clock,
  }).catch(async (error: unknown) => {
    await closeParts();
    throw error;
  });

  let closed: Promise<void> | null = null;
  return {
    url: http.url,
    close: () => (closed ??= http.close().then(closeParts)),
  };

  /** Names shared state in Redis. Upstream counts requests by tenant, API version and client. */
  function budgetName(clientId: string): string {
    return JSON.stringify([baseUrl.host, options.apiVersion, clientId]);
  }

  async function closeParts(): Promise<void> {
    closing.abort(new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.'));
    sessions.close();
    budgets.close();
    await fleet.close();
    await dispatcher.destroy();
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
    if (options.client === null) throw new Error('AUTH_MODE=service needs a client.');
    const credential = createServiceCredential(options.client, {
      requests: openRequests(options.client.id, null),
      tokenPath: `${basePath}/oauth/token`,
      clock,
      log,
    });
    const verify = openVerifier('JWKS_URL', options.jwt);
    return createServiceAuthenticate(credential, verify, options.jwtClockToleranceSeconds);
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
    const budget = budgets.of(clientId);
    return createRequests({
      send,
      budget,
      credential,
      proof: credential === null || credential.isVerified ? null : proofs.of(credential, budget),
      caller: credential?.caller,
      clock,
      log,
      retries: createRetries(),
      breaker: createBreaker({ clock, trips: ['failing'], within: network }),
      timeoutMs: options.operationTimeoutMs,
      closing: closing.signal,
    });
  }

  function openSession(credential: Credential) {
    const api = createApi({
      requests: openRequests(credential.clientId, credential),
      version: options.apiVersion,
      basePath,
      maxUrlBytes: options.maxUrlBytes,
      onFallback: drift.record,
    });
    return createSession({
      api,
      openGroup: listener => openGroup('tasks', listener),
      openAggregationGroup: listener => openGroup('aggregations', listener),
      memory: memories.of(credential.key),
      clock,
      log,
      intervalMs: options.progressIntervalMs,
      maxSubscribers: options.maxSubscriptionsPerCredential,
    });

    function openGroup<M>(subject: 'tasks' | 'aggregations', listener: GroupListener<M>) {
      // A caller's own token is not shared with other instances, and neither is the data read with it.
      if (!credential.isShared) return createLocalGroup(listener);
      const name = budgetName(credential.clientId);
      return fleet.openGroup(subject === 'tasks' ? name : `${name} ${subject}`, listener);
    }
  }
}

// The size of a decoded body; 250 rows take about 300 kB.
const MAX_BODY_BYTES = 32 * 1_048_576;
const MAX_TOTAL_BODY_BYTES = 96 * 1_048_576;
// The default budget allows so many requests at once.
const MAX_CONNECTIONS = 100;

function readVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
