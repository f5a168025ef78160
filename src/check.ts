import type { Config } from './config.ts';
import type { ErrorCode, ErrorDetails } from './errors.ts';
import { type Gateway, startGateway } from './gateway.ts';
import { type Log, createLog } from './log.ts';

/** The tenant to check, and whether it is the embedded sandbox. */
export interface CheckedTenant {
  baseUrl: URL;
  client: Config['client'];
  isSandbox: boolean;
}

interface ReadError {
  message: string;
  extensions: { code: ErrorCode } & ErrorDetails;
}

interface ReadAnswer {
  data?: { taskStatuses: { nodes: { id: string; uniqueName: string }[] } } | null;
  errors?: ReadError[];
}

const TIMEOUT_MS = 10_000;
// Two attempts fit, so why one failed is known even if upstream never answers.
const ATTEMPT_TIMEOUT_MS = 4_000;
// Readiness waits one second for the tenant, and asks it every three.
const READINESS_TRIES = 8;
const API = "the tenant's API, https://{tenant}.api.identitynow.com";
// The host was not reached, or what was reached is not the API.
const NETWORK = /DNS|connection|route|answer|proxy|TLS/;
const QUERY = '{ taskStatuses(first: 1) { nodes { id uniqueName } } }';

/**
 * Asks a tenant for a token and for one task, and Redis whether it is there, and prints what they
 * answered and what to do about it. Returns whether all is well.
 */
export async function checkTenant(
  config: Config,
  tenant: CheckedTenant,
  print: (line: string) => void,
): Promise<boolean> {
  const hasClient = tenant.client !== null;
  const { origin, pathname } = tenant.baseUrl;
  const address = origin + pathname.replace(/\/+$/, '');
  /** Why the last attempt at upstream failed. */
  let cause: string | undefined;
  const log: Log = Object.assign(createLog('silent'), {
    warn: (fields: { cause?: string }) => void (cause = fields.cause ?? cause),
  });
  say('configuration', 'ok', `API version ${config.apiVersion} of ${address}`);
  if (tenant.isSandbox)
    advise(
      'This is the embedded sandbox, whose tasks are invented. Set SAIL_BASE_URL for a real tenant.',
    );
  const redisFault = await faultOfRedis();
  const gateway = await open({ redisUrl: redisFault === null ? config.redisUrl : null });
  try {
    const isReadable = hasClient ? await checkReading(gateway) : await checkAnswering(gateway);
    if (redisFault !== null) {
      say('Redis', 'failed', redisFault);
      advise('Check REDIS_URL, and that Redis runs.');
    } else if (config.redisUrl !== null) say('Redis', 'ok', 'instances can share it');
    return isReadable && redisFault === null;
  } finally {
    await gateway.close();
  }

  /** A gateway without Redis must wait before it spends the budget, so that is found out first. */
  async function faultOfRedis(): Promise<string | null> {
    if (config.redisUrl === null) return null;
    try {
      await (await open({ redisStartup: 'require' })).close();
      return null;
    } catch (error) {
      const [, fault] = /^REDIS_URL: (.*)$/s.exec((error as Error).message) ?? [];
      if (fault === undefined) throw error;
      return fault;
    }
  }

  function open(more: Partial<Pick<Config, 'redisUrl' | 'redisStartup'>>): Promise<Gateway> {
    const options = {
      ...config,
      ...tenant,
      // With a client, what it may read is found out even if callers bring their own tokens.
      authMode: hasClient ? ('service' as const) : ('passthrough' as const),
      jwt: null,
      passthroughJwt: null,
      router: { secret: null, jwt: null },
      isRouterOnly: false,
      host: '127.0.0.1',
      port: 0,
      metricsPort: null,
      operationTimeoutMs: Math.min(TIMEOUT_MS, config.operationTimeoutMs),
      upstreamTimeoutMs: Math.min(ATTEMPT_TIMEOUT_MS, config.upstreamTimeoutMs),
      ...more,
    };
    return startGateway(options, undefined, log);
  }

  async function checkReading({ url, checkReadiness }: Gateway): Promise<boolean> {
    const { data, errors } = await readOne(url);
    const { parts } = await checkReadiness();
    if (parts.token?.status !== 'ok') {
      const reason =
        parts.upstream.status === 'failed' ? (cause ?? parts.upstream.reason) : undefined;
      say('token', 'failed', reason ?? parts.token?.reason ?? 'none was granted');
      advise(adviceFor(errors?.[0], reason, config.apiVersion));
      return false;
    }
    say('token', 'ok', 'upstream granted one');
    const [error] = errors ?? [];
    if (error === undefined) {
      const task = data?.taskStatuses.nodes[0];
      say(
        'tasks',
        'ok',
        task ? `read ${task.id}, ${JSON.stringify(task.uniqueName)}` : 'the tenant has none',
      );
      return true;
    }
    const hasAnswered = error.extensions.upstream !== undefined;
    say(
      'tasks',
      'failed',
      cause === undefined || hasAnswered ? error.message : `${error.message} (${cause})`,
    );
    advise(adviceFor(error, cause, config.apiVersion));
    return false;
  }

  /** Without a client only this can be found out: that something answers as the API does. */
  async function checkAnswering({ checkReadiness }: Gateway): Promise<boolean> {
    let { parts } = await checkReadiness();
    for (let tries = 1; tries < READINESS_TRIES && parts.upstream.status !== 'ok'; tries++)
      ({ parts } = await checkReadiness());
    const { status, reason = 'it answers' } = parts.upstream;
    if (status !== 'ok') {
      say('tenant', status, cause ?? reason);
      advise(adviceFor(undefined, cause ?? reason, config.apiVersion));
      return false;
    }
    say('tenant', status, reason);
    advise(
      'No task was read: callers bring their own tokens. Set SAIL_CLIENT_ID and SAIL_CLIENT_SECRET to read one here.',
    );
    return true;
  }

  function say(part: string, status: string, text: string): void {
    print(`${part.padEnd(15)}${status.padEnd(8)}${text}`);
  }

  function advise(text: string): void {
    print(`${' '.repeat(15)}-> ${text}`);
  }
}

async function readOne(url: string): Promise<ReadAnswer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: QUERY }),
  });
  return (await response.json()) as ReadAnswer;
}

function adviceFor(error: ReadError | undefined, cause = '', apiVersion: string): string {
  const { code, upstream, retryAfterSeconds } = error?.extensions ?? {};
  const status = upstream?.status ?? Number(/^status (\d+)/.exec(cause)?.[1] ?? 0);
  const isTokenRefused = error?.message.includes("gateway's own credentials") ?? false;
  if (isTokenRefused && status !== 404 && status !== 405)
    return 'Check SAIL_CLIENT_ID and SAIL_CLIENT_SECRET: the pair must be of this tenant, and not revoked.';
  if (isTokenRefused)
    return `Check SAIL_BASE_URL: this host has no token endpoint. It must be ${API}.`;
  if (code === 'RATE_LIMITED')
    return `The client's rate limit is used up, perhaps by other programs with the same client. Try again in ${retryAfterSeconds ?? 10} s.`;
  if (/\b407\b/.test(cause) || status === 407)
    return 'Put the user and password that the proxy wants into HTTPS_PROXY: http://user:password@host:port.';
  if (status >= 500)
    return 'The tenant, or a proxy before it, fails by itself: try again, and look at the status page of SailPoint.';
  if (/firewall/.test(cause))
    return 'Let the address of this machine through at that firewall or proxy, or check HTTPS_PROXY.';
  switch (status) {
    case 401:
      return 'Upstream grants a token and then refuses it: check that SAIL_BASE_URL and the client are of one tenant.';
    case 403:
      return 'The client may not read task status: it needs the scope idn:task-management:read, and its user a level such as HELPDESK or ORG_ADMIN.';
    case 404:
    case 410:
      return `The tenant does not have API version ${apiVersion} of Task Status there: check SAIL_BASE_URL, ${API}, or set UPSTREAM_API_VERSION, for example to v2025.`;
    default:
  }
  if (/certificate has expired|not valid yet/.test(cause))
    return 'Check the clock of this machine. If it is right, the certificate of that host, or of a proxy on the way, must be renewed.';
  if (/certificate|TLS failed|TLS handshake/.test(cause))
    return 'Check the host in SAIL_BASE_URL, and whether a proxy on the way replaces certificates (NODE_EXTRA_CA_CERTS).';
  if (NETWORK.test(cause))
    return `Check the host in SAIL_BASE_URL, ${API}, and HTTPS_PROXY if there is a proxy.`;
  return `Check that SAIL_BASE_URL is ${API}.`;
}
