import { lookup } from 'node:dns';
import { BlockList, isIPv6 } from 'node:net';
import { ExponentialBackoff, handleAll, retry } from 'cockatiel';
import { EnvHttpProxyAgent } from 'undici';
import type { Log } from '../../log.ts';
import { type ProxySettings, toProxyOptions } from '../../proxy.ts';
import { describeConnectionError } from '../../upstream/connection-error.ts';

/** What became of a message: the receiver has taken it, wants no more, or could not be reached. */
export type Delivery = 'taken' | 'refused' | 'failed';

/** Sends messages to the places that an operator has listed, and to no others. */
export interface CallbackSender {
  /** Whether anything may be sent there. */
  allows(url: URL): boolean;
  /** One attempt, or as many as a message is worth that is not sent again by itself. */
  send(url: URL, message: object, options: { isRepeated: boolean }): Promise<Delivery>;
  close(): Promise<void>;
}

/** A failure that is told in words of our own. */
class CallbackError extends Error {}

const TIMEOUT_MS = 5_000;
const MAX_RETRIES = 5;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/** This machine, and what is next to it: where clouds keep credentials for whoever asks from inside. */
const NEAR = new BlockList();
NEAR.addSubnet('127.0.0.0', 8, 'ipv4');
NEAR.addSubnet('0.0.0.0', 8, 'ipv4');
NEAR.addSubnet('169.254.0.0', 16, 'ipv4');
NEAR.addAddress('::1', 'ipv6');
NEAR.addAddress('::', 'ipv6');
NEAR.addSubnet('fe80::', 10, 'ipv6');
// The same, as IPv6 writes IPv4, and where two clouds keep them at other addresses.
NEAR.addSubnet('::', 96, 'ipv6');
NEAR.addSubnet('64:ff9b::', 96, 'ipv6');
NEAR.addAddress('fd00:ec2::254', 'ipv6');
NEAR.addAddress('100.100.100.200', 'ipv4');

export interface CallbackSenderOptions {
  /** Names or addresses, with a port or for any. One may resolve to a near address only where that is listed too. */
  hosts: readonly string[];
  proxy: ProxySettings;
  userAgent: string;
  log: Log;
  resolve?: typeof lookup;
}

export function createCallbackSender({
  hosts,
  proxy,
  userAgent,
  log,
  resolve = lookup,
}: CallbackSenderOptions): CallbackSender {
  const listed = new Set(hosts.map(host => host.toLowerCase()));
  const isNear = createNearness(hosts);
  const agent = new EnvHttpProxyAgent({
    ...toProxyOptions(proxy),
    // Where a proxy makes the connection, it resolves the name, and decides what is near to it.
    connect: {
      timeout: TIMEOUT_MS,
      lookup(hostname, options, done) {
        resolve(hostname, { ...options, all: true }, (error, addresses) => {
          const near = error
            ? undefined
            : addresses.find(({ address }) => isNear(hostname, address));
          if (near)
            done(new CallbackError('the name leads to a near address, which is not listed'), []);
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
    async send(url, message, { isRepeated }) {
      try {
        return await (isRepeated
          ? persistent.execute(() => attempt(url, message))
          : attempt(url, message));
      } catch {
        return 'failed';
      }
    },
    close: () => agent.destroy(),
  };

  /** Throws where the receiver cannot be reached or fails, with a line in the log. */
  async function attempt(url: URL, message: object): Promise<Delivery> {
    try {
      return await post(url, message);
    } catch (error) {
      const cause = explain(error);
      log.warn({ host: url.host, cause }, 'an event could not be sent to a callback');
      throw error;
    }
  }

  async function post(url: URL, message: object): Promise<Delivery> {
    const { statusCode, body } = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'subscription-protocol': 'callback/1.0',
        'user-agent': userAgent,
      },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await body.dump();
    if (statusCode >= 500) throw new CallbackError(`the receiver failed with status ${statusCode}`);
    return statusCode < 300 ? 'taken' : 'refused';
  }
}

function explain(error: unknown): string {
  if (error instanceof CallbackError) return error.message;
  if (error instanceof DOMException) return `no answer within ${TIMEOUT_MS} ms`;
  return describeConnectionError(error);
}

/** Whether the address that a name leads to is near and not listed, so that the name is not to be followed. */
export function createNearness(
  hosts: readonly string[],
): (hostname: string, address: string) => boolean {
  const listed = new Set(hosts);
  return (hostname, address) =>
    hostname !== 'localhost' &&
    !listed.has(address) &&
    NEAR.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}
