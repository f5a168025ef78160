import { type Dispatcher, Pool } from 'undici';

/** The URLs of the proxies for requests, by the scheme of the target; null: no proxy. */
export interface ProxySettings {
  httpProxy: string | null;
  httpsProxy: string | null;
  /** Hosts that are reached directly, in the format of NO_PROXY. */
  noProxy: string;
}

// Hosts on this machine, such as the sandbox, are always reached directly.
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

// As long as undici waits for a connection without a proxy.
const TUNNEL_TIMEOUT_MS = 10_000;
// What an error of the request for a tunnel means for those who want a connection.
const TUNNEL_ERRORS: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: 'UND_ERR_PRX_CONN',
  UND_ERR_HEADERS_TIMEOUT: 'UND_ERR_CONNECT_TIMEOUT',
};

/**
 * The options for undici's EnvHttpProxyAgent. All are set, so that it does not read the
 * environment.
 */
export function toProxyOptions({ httpProxy, httpsProxy, noProxy }: ProxySettings): {
  httpProxy: string;
  httpsProxy: string;
  noProxy: string;
  proxyTunnel: boolean;
  clientFactory: (origin: URL, options: object) => Dispatcher;
} {
  return {
    // Many proxies open tunnels only to port 443, so plain HTTP requests are forwarded without a
    // tunnel.
    proxyTunnel: false,
    clientFactory: openProxyConnections,
    httpProxy: httpProxy ?? '',
    httpsProxy: httpsProxy ?? '',
    noProxy: noProxy.trim() === '*' ? '*' : [noProxy, ...LOOPBACK].join(','),
  };
}

/**
 * The connections to a proxy over which tunnels are requested. If the proxy closes one instead,
 * undici would connect again at once, thousands of times a second, until the request times out: it
 * takes a lost socket for a reason to do so, but no other error. For a proxy that does not answer
 * it would wait five minutes.
 */
function openProxyConnections(origin: URL, options: object): Dispatcher {
  const pool = new Pool(origin, { ...options, headersTimeout: TUNNEL_TIMEOUT_MS });
  const connect = pool.connect.bind(pool);
  return Object.assign(pool, {
    connect: (to: Parameters<typeof connect>[0]) =>
      connect(to).catch((cause: Error & { code?: string }) => {
        const code = TUNNEL_ERRORS[cause.code ?? ''];
        if (code === undefined) throw cause;
        throw Object.assign(new Error('The proxy opened no tunnel.', { cause }), { code });
      }),
  });
}
