import type { IncomingMessage } from 'node:http';
import { type Socket, isIP } from 'node:net';
import proxyAddr from 'proxy-addr';

/** Determines which client a request comes from. */
export interface ClientAddress {
  /**
   * An IPv4 address, or the /64 network of an IPv6 address, because one host may have many of
   * those. X-Forwarded-For is read only if trusted proxies sent it.
   */
  addressOf(request: IncomingMessage): string;
  /**
   * Whether the peer of the connection is a trusted proxy, which forwards requests of many clients.
   */
  isProxy(socket: Socket): boolean;
}

/**
 * `trusted` are addresses, networks such as `10.0.0.0/8`, or `loopback`, `linklocal` and
 * `uniquelocal`.
 */
export function createClientAddress(trusted: readonly string[]): ClientAddress {
  const trusts = compileTrust(trusted);
  return {
    addressOf(request) {
      if (trusted.length === 0) return toNetwork(request.socket.remoteAddress);
      const named = withoutPort(proxyAddr(request, trusts));
      // If the header holds no address, count the request for the proxy that sent it.
      return toNetwork(isIP(named) === 0 ? request.socket.remoteAddress : named);
    },
    isProxy: ({ remoteAddress }) => remoteAddress !== undefined && trusts(remoteAddress, 0),
  };
}

/**
 * Compiles a list of trusted proxies. Throws a TypeError for an entry that is neither an address
 * nor a network.
 */
export function compileTrust(
  trusted: readonly string[],
): (address: string, hops: number) => boolean {
  return proxyAddr.compile([...trusted]);
}

/** Some proxies append the client's port to its address. */
function withoutPort(address: string): string {
  const [, bracketed, plain] =
    /^(?:\[(.+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+):\d+)$/.exec(address) ?? [];
  return bracketed ?? plain ?? address;
}

function toNetwork(address = ''): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(':')) return mapped ?? address;
  const [before = '', after] = address.split('%', 1)[0]?.split('::') ?? [];
  const head = before.split(':').filter(group => group !== '');
  const tail = after === undefined ? [] : after.split(':').filter(group => group !== '');
  const zeros = Array.from({ length: Math.max(0, 8 - head.length - tail.length) }, () => '0');
  return `${[...head, ...zeros, ...tail].slice(0, 4).join(':')}::/64`;
}
