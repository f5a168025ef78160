/** The URLs of the proxies for requests, by the scheme of the target; null: no proxy. */
export interface ProxySettings {
  httpProxy: string | null;
  httpsProxy: string | null;
  /** Hosts that are reached directly, in the format of NO_PROXY. */
  noProxy: string;
}

// Hosts on this machine, such as the sandbox, are always reached directly.
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/** The options for undici's EnvHttpProxyAgent. All are set, so that it does not read the environment. */
export function toProxyOptions({ httpProxy, httpsProxy, noProxy }: ProxySettings): {
  httpProxy: string;
  httpsProxy: string;
  noProxy: string;
  proxyTunnel: boolean;
} {
  return {
    // Many proxies open tunnels only to port 443, so plain HTTP requests are forwarded without a tunnel.
    proxyTunnel: false,
    httpProxy: httpProxy ?? '',
    httpsProxy: httpsProxy ?? '',
    noProxy: noProxy.trim() === '*' ? '*' : [noProxy, ...LOOPBACK].join(','),
  };
}
