/** Which proxy requests go through, by the scheme of their target; null: none. */
export interface ProxySettings {
  httpProxy: string | null;
  httpsProxy: string | null;
  /** Hosts that are reached without it, as NO_PROXY lists them. */
  noProxy: string;
}

// The sandbox, and whatever else runs on this machine, is never on the other side of a proxy.
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/** The settings as undici's EnvHttpProxyAgent takes them, so that it does not read the environment. */
export function toProxyOptions({ httpProxy, httpsProxy, noProxy }: ProxySettings): {
  httpProxy: string;
  httpsProxy: string;
  noProxy: string;
  proxyTunnel: boolean;
} {
  return {
    // Many proxies open tunnels to port 443 only: what is plain HTTP is handed to them as such.
    proxyTunnel: false,
    httpProxy: httpProxy ?? '',
    httpsProxy: httpsProxy ?? '',
    noProxy: noProxy.trim() === '*' ? '*' : [noProxy, ...LOOPBACK].join(','),
  };
}
