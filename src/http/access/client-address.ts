import type { IncomingMessage } from 'node:http';
import { type Socket, isIP } from 'node:net';
import proxyAddr from 'proxy-addr';

/** Tells which client a request comes from. */
export interface ClientAddress {
  /**
   * An IPv4 address, or the /64 network of an IPv6 one, of which one host may have many. Behind trusted proxies it
   * is what they say in X-Forwarded-For; what anybody else says there is ignored.
   */
  addressOf(request: IncomingMessage): string;
  /** Whether the other end of the connection is a trusted proxy, through which many clients come. */
  isProxy(socket: Socket): boolean;
}

/** `trusted` are addresses, networks such as `10.0.0.0/8`, or `loopback`, `linklocal` and `uniquelocal`. */
export function createClientAddress(trusted: readonly string[]): ClientAddress {
  const trusts = compileTrust(trusted);
  return {
    addressOf(request) {
      if (trusted.length === 0) return toNetwork(request.socket.remoteAddress);
      const named = withoutPort(proxyAddr(request, trusts));
      // What is no address cannot be told from another client's: count it for the proxy that sent it.
      return toNetwork(isIP(named) === 0 ? request.socket.remoteAddress : named);
    },
    isProxy: ({ remoteAddress }) => remoteAddress !== undefined && trusts(remoteAddress, 0),
  };
}

/** Throws a TypeError for what is neither an address nor a network. */
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
