import { lookup } from 'node:dns';
import { BlockList, isIPv6 } from 'node:net';
import { ExponentialBackoff, handleAll, retry } from 'cockatiel';
import { Agent } from 'undici';

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

/** `hosts`: names or addresses, with a port or for any. What one of them resolves to may be near only where that is listed too. */
export function createCallbackSender(
  hosts: readonly string[],
  resolve: typeof lookup = lookup,
): CallbackSender {
  const listed = new Set(hosts.map(host => host.toLowerCase()));
  const isNear = createNearness(hosts);
  const agent = new Agent({
    connect: {
      timeout: TIMEOUT_MS,
      lookup(hostname, options, done) {
        resolve(hostname, { ...options, all: true }, (error, addresses) => {
          const near = error
            ? undefined
            : addresses.find(({ address }) => isNear(hostname, address));
          if (near) done(new Error(`${hostname} is ${near.address}, which is not listed.`), []);
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

  /** Throws where nobody answers, or whoever does is in trouble. */
  async function attempt(url: URL, message: object): Promise<Delivery> {
    const { statusCode, body } = await agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'subscription-protocol': 'callback/1.0',
      },
      body: JSON.stringify(message),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await body.dump();
    if (statusCode >= 500) throw new Error(`The receiver failed with status ${statusCode}.`);
    return statusCode < 300 ? 'taken' : 'refused';
  }
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
