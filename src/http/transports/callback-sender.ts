import { lookup } from 'node:dns';
import { BlockList, isIPv6 } from 'node:net';
import { ExponentialBackoff, handleAll, retry } from 'cockatiel';
import { EnvHttpProxyAgent } from 'undici';
import type { Log } from '../../log.ts';
import { type ProxySettings, toProxyOptions } from '../../proxy.ts';
import { describeConnectionError } from '../../upstream/connection-error.ts';

/**
 * The outcome of a message. `refused`: the receiver accepts no more messages; `failed`: it could
 * not be reached.
 */
export type Delivery = 'accepted' | 'refused' | 'failed';

/** Sends messages to the hosts that the operator has listed, and to no others. */
export interface CallbackSender {
  /** Whether messages may be sent to the URL. */
  allows(url: URL): boolean;
  /**
   * Sends a message in JSON. With `isRetried`, a failed attempt is retried several times. Never
   * rejects.
   */
  send(url: URL, message: string, options: { isRetried: boolean }): Promise<Delivery>;
  close(): Promise<void>;
}

/** A failure whose message may be logged as it is. */
class CallbackError extends Error {}

const TIMEOUT_MS = 5_000;
const MAX_RETRIES = 5;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/**
 * Addresses of this machine and of link-local services, such as the metadata services of clouds.
 */
const INTERNAL = new BlockList();
INTERNAL.addSubnet('127.0.0.0', 8, 'ipv4');
INTERNAL.addSubnet('0.0.0.0', 8, 'ipv4');
INTERNAL.addSubnet('169.254.0.0', 16, 'ipv4');
INTERNAL.addAddress('::1', 'ipv6');
INTERNAL.addAddress('::', 'ipv6');
INTERNAL.addSubnet('fe80::', 10, 'ipv6');
// IPv4 addresses embedded in IPv6, and metadata services of two clouds at other addresses.
INTERNAL.addSubnet('::', 96, 'ipv6');
INTERNAL.addSubnet('64:ff9b::', 96, 'ipv6');
INTERNAL.addAddress('fd00:ec2::254', 'ipv6');
INTERNAL.addAddress('100.100.100.200', 'ipv4');

export interface CallbackSenderOptions {
  /**
   * Names or addresses, each with a port or for all ports. A name may resolve to an internal
   * address only if that is listed too.
   */
  hosts: readonly string[];
  proxy: ProxySettings;
  userAgent: string;
  log: Log;
  resolve?: typeof lookup;
}

/** `resolve` replaces DNS in tests. */
export function createCallbackSender({
  hosts,
  proxy,
  userAgent,
  log,
  resolve = lookup,
}: CallbackSenderOptions): CallbackSender {
  const listed = new Set(hosts.map(host => host.toLowerCase()));
  const isInternal = createInternalCheck(hosts);
  const agent = new EnvHttpProxyAgent({
    ...toProxyOptions(proxy),
    // If a proxy makes the connection, the proxy resolves the name and must do this check itself.
    connect: {
      timeout: TIMEOUT_MS,
      lookup(hostname, options, done) {
        resolve(hostname, { ...options, all: true }, (error, addresses) => {
          const internal = error
            ? undefined
            : addresses.find(({ address }) => isInternal(hostname, address));
          if (internal)
            done(
              new CallbackError('the host resolves to an internal address that is not listed'),
              [],
            );
          else done(error, addresses);
        });
      },
    },
  });
  const persistent = retry(handleAll, {
    maxAttempts: MAX_RETRIES,
    backoff: new ExponentialBackoff({ initialDelay: 100, maxDelay: 1_000 }),
  });

  return {
    allows: ({ protocol, hostname, port, username, password }) =>
      protocol in DEFAULT_PORTS &&
      username + password === '' &&
      (listed.has(hostname) || listed.has(`${hostname}:${port || DEFAULT_PORTS[protocol]}`)),
    async send(url, message, { isRetried }) {
      try {
        return await (isRetried
          ? persistent.execute(() => attempt(url, message))
          : attempt(url, message));
      } catch {
        return 'failed';
      }
    },
    close: () => agent.destroy(),
  };

  /** Throws, and logs a warning, if the receiver cannot be reached or fails. */
  async function attempt(url: URL, message: string): Promise<Delivery> {
    try {
      return await post(url, message);
    } catch (error) {
      const cause = explain(error);
      log.warn({ host: url.host, cause }, 'an event could not be sent to a callback');
      throw error;
    }
  }

  async function post(url: URL, message: string): Promise<Delivery> {
    const { statusCode, body } = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'subscription-protocol': 'callback/1.0',
        'user-agent': userAgent,
      },
      body: message,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await body.dump();
    if (statusCode >= 500) throw new CallbackError(`the receiver failed with status ${statusCode}`);
    return statusCode < 300 ? 'accepted' : 'refused';
  }
}

function explain(error: unknown): string {
  if (error instanceof CallbackError) return error.message;
  if (error instanceof DOMException) return `no answer within ${TIMEOUT_MS} ms`;
  return describeConnectionError(error);
}

/** Returns a check whether a name has resolved to an internal address that is not listed. */
export function createInternalCheck(
  hosts: readonly string[],
): (hostname: string, address: string) => boolean {
  const listed = new Set(hosts);
  return (hostname, address) =>
    hostname !== 'localhost' &&
    !listed.has(address) &&
    INTERNAL.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
