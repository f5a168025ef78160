import { Pool } from 'undici';
import { type Clock, systemClock } from './clock.ts';
import type { Config } from './config.ts';
import type { Fleet } from './fleet/fleet.ts';
import { createLocalFleet, createLocalGroup } from './fleet/local.ts';
import { createRedisFleet } from './fleet/redis.ts';
import { createPassthroughAuthenticate, createServiceAuthenticate } from './http/authenticate.ts';
import { createMaskError } from './http/mask.ts';
import { createRouterTrust } from './http/router-trust.ts';
import { startHttpServer } from './http/server.ts';
import { type Log, createLog } from './log.ts';
import { createMemories } from './session/memory.ts';
import { createSession } from './session/session.ts';
import { createSessions } from './session/sessions.ts';
import { createApi } from './upstream/api.ts';
import { createSendAttempt } from './upstream/attempt.ts';
import { createBudgets } from './upstream/budgets.ts';
import { type Credential, createServiceCredential } from './upstream/credentials.ts';
import { createRequests } from './upstream/request.ts';
import { Retries, createBreaker } from './upstream/retry.ts';

export { ConfigError, readConfig, type Config } from './config.ts';

/** The configuration, with a tenant to talk to and, for `service`, a client of it. */
export type GatewayOptions = Omit<Config, 'baseUrl' | 'sandbox'> & { baseUrl: URL };

/** A running gateway. */
export interface Gateway {
  /** Where GraphQL is. */
  url: string;
  /** Once, however often it is asked for. */
  close(): Promise<void>;
}

/** Builds every part and starts listening. */
export async function startGateway(
  options: GatewayOptions,
  clock: Clock = systemClock,
  log: Log = createLog(options.logLevel),
): Promise<Gateway> {
  const { baseUrl, rate } = options;
  const basePath = baseUrl.pathname.replace(/\/+$/, '');
  const fleet = await openFleet();
  const pool = new Pool(baseUrl.origin, { connections: MAX_CONNECTIONS });
  const send = createSendAttempt(pool, options.upstreamTimeoutMs);
  const budgets = createBudgets(clientId => fleet.openWindow(budgetName(clientId)), rate, clock);
  const retries = new Retries();
  const breaker = createBreaker();
  const memories = createMemories({ maxStalenessMs: options.maxStalenessMs, clock });
  const sessions = createSessions({ open: openSession, clock });
  const http = await startHttpServer({
    ...options,
    sessions,
    authenticate: createAuthenticate(),
    isOpen: options.authMode === 'service' && options.jwt === null,
    routerTrust: createRouterTrust(options.router),
    maskError: createMaskError(log),
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

  /** Upstream counts by client and API version; what is shared is named so, tenant and all. */
  function budgetName(clientId: string): string {
    return JSON.stringify([baseUrl.host, options.apiVersion, clientId]);
  }

  async function closeParts(): Promise<void> {
    sessions.close();
    budgets.close();
    await fleet.close();
    await pool.destroy();
  }

  function openFleet(): Fleet | Promise<Fleet> {
    const { redisUrl, upstreamTimeoutMs: maxRequestMs } = options;
    if (redisUrl === null) return createLocalFleet(rate, clock);
    const { redisStartup: startup } = options;
    return createRedisFleet({ url: redisUrl, startup, limits: rate, clock, log, maxRequestMs });
  }

  function createAuthenticate() {
    if (options.authMode === 'passthrough') return createPassthroughAuthenticate();
    if (options.client === null) throw new Error('AUTH_MODE=service needs a client.');
    const budget = budgets.of(options.client.id);
    const credential = createServiceCredential(options.client, {
      send,
      tokenPath: `${basePath}/oauth/token`,
      budget,
      clock,
    });
    return createServiceAuthenticate(credential, options.jwt);
  }

  function openSession(credential: Credential) {
    const requests = createRequests({
      send,
      budget: budgets.of(credential.clientId),
      credential,
      clock,
      retries,
      breaker,
      timeoutMs: options.operationTimeoutMs,
    });
    const api = createApi({
      requests,
      version: options.apiVersion,
      basePath,
      maxUrlBytes: options.maxUrlBytes,
    });
    return createSession({
      api,
      // A caller's token stays here, and so does what is seen with it.
      openGroup: listener =>
        credential.isShared
          ? fleet.openGroup(budgetName(credential.clientId), listener)
          : createLocalGroup(listener),
      memory: memories.of(credential.key),
      clock,
      log,
      intervalMs: options.progressIntervalMs,
      maxFollowers: options.maxSubscriptionsPerCredential,
    });
  }
}

// As many as the budget lets go at once by default; more would only wait for it.
const MAX_CONNECTIONS = 100;
