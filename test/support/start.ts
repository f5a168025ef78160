import type { TestContext } from 'node:test';
import { type Clock, systemClock } from '../../src/clock.ts';
import { readConfig } from '../../src/config.ts';
import { startGateway as start } from '../../src/gateway.ts';
import { type Log, createLog } from '../../src/log.ts';
import type { Metrics } from '../../src/metrics.ts';
import {
  type Sandbox,
  type SandboxOptions,
  startSandbox as startTenant,
} from '../../src/sandbox/sandbox.ts';
import { secretWatchOf } from './secret-watch.ts';

export interface GraphQLAnswer {
  status: number;
  // Tests check the fields they select; the schema has its own tests.
  data?: any;
  errors?: { message: string; path?: (string | number)[]; extensions: Record<string, any> }[];
}

export interface StartOptions {
  /** A running sandbox, for a second gateway over the same tenant. */
  over?: Sandbox;
  sandbox?: SandboxOptions;
  env?: Record<string, string>;
  clock?: Clock;
  log?: Log;
  metrics?: Metrics;
}

/** A sandbox tenant that has only the tasks that the test adds; closed after the test. */
export async function startSandbox(t: TestContext, options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startTenant({
    tasks: 0,
    newTaskEveryMs: null,
    oddities: false,
    ...options,
  });
  t.after(() => sandbox.close());
  return sandbox;
}

/** Options that connect a gateway to a sandbox with the sandbox's own client. */
export function environmentOver({ url, client }: Sandbox): Record<string, string> {
  return {
    SAIL_BASE_URL: url,
    SAIL_CLIENT_ID: client.id,
    SAIL_CLIENT_SECRET: client.secret,
    AUTH_MODE: 'service',
    PORT: '0',
    LOG_LEVEL: 'silent',
  };
}

/** Starts a gateway over an empty sandbox. */
export async function startGateway(
  t: TestContext,
  { over, sandbox: options = {}, env = {}, clock, log, metrics }: StartOptions = {},
) {
  const sandbox =
    over ??
    (await startSandbox(t, {
      rateLimit: Infinity,
      ...options,
      ...(clock ? { clock } : {}),
    }));
  const variables = {
    ...environmentOver(sandbox),
    PROGRESS_INTERVAL_MS: '20',
    // Tests poll more often than a real gateway should. Tests of the budget set the real limit.
    UPSTREAM_RATE_LIMIT: '100000',
    // Most tests count upstream requests, so the memory is off. Tests of the memory set its
    // duration.
    MAX_STALENESS_MS: '0',
    MAX_SUBSCRIPTIONS_PER_CONNECTION: '5000',
    // Tests leave requests unanswered; the tests of the shutdown set how long it waits for them.
    SHUTDOWN_GRACE_MS: '200',
    ...env,
  };
  const config = readConfig(variables);
  const secrets = secretWatchOf(t);
  secrets.addEnvironment(variables);
  const gateway = await start(
    { ...config, baseUrl: new URL(sandbox.url) },
    clock ?? systemClock,
    secrets.watchLog(log ?? createLog(config.logLevel)),
    metrics,
  );
  secrets.addPort(Number(new URL(gateway.url).port));
  t.after(async () => {
    await gateway.close();
    secrets.check();
  });

  return {
    sandbox,
    tenant: sandbox.tenant,
    gateway,
    url: gateway.url,
    query: (
      query: string,
      variables: Record<string, unknown> = {},
      headers: Record<string, string> = {},
    ) => postGraphQL(gateway.url, query, variables, headers),
    /** The requests to the REST API so far, as `METHOD path?query`. */
    requests: () =>
      sandbox.journal.requests.map(
        ({ method, path, query }) => `${method} ${path}${query && '?'}${query}`,
      ),
  };
}

/** Sends one operation over HTTP. */
export async function postGraphQL(
  url: string,
  query: string,
  variables: Record<string, unknown> = {},
  headers: Record<string, string> = {},
): Promise<GraphQLAnswer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ query, variables }),
  });
  return { status: response.status, ...((await response.json()) as object) };
}

/** A token of the sandbox, for a caller in `passthrough` mode. */
export async function fetchToken(
  sandbox: Sandbox,
  { id, secret } = sandbox.client,
): Promise<string> {
  const body = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: id,
    client_secret: secret,
  });
  const response = await fetch(`${sandbox.url}/oauth/token`, { method: 'POST', body });
  const { access_token: token } = (await response.json()) as { access_token: string };
  return token;
}
