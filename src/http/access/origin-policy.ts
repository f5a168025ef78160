import type { IncomingHttpHeaders } from 'node:http';
import type { OriginMatcher } from './origin-pattern.ts';

export interface OriginPolicyOptions {
  /** Whether callers need no credential, because the gateway uses its own for all of them. */
  isOpen: boolean;
  /** Whether a browser's origin is listed. */
  isListedOrigin: OriginMatcher;
}

/** Rejects requests that a page of another site makes a browser send. */
export interface OriginPolicy {
  /** Whether the Host header names this gateway, which prevents DNS rebinding. */
  acceptsHost(headers: IncomingHttpHeaders): boolean;
  /** Whether the origin may open a WebSocket. Browsers send no preflight for those. */
  acceptsOrigin(headers: IncomingHttpHeaders): boolean;
}

const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;

/** Without credentials, only loopback hosts are accepted. */
export function createOriginPolicy({ isOpen, isListedOrigin }: OriginPolicyOptions): OriginPolicy {
  /** Most requests name the same host as the one before. */
  let lastAccepted: string | null = null;
  return {
    acceptsHost({ host }) {
      // HTTP/1.0, which browsers do not use.
      if (host === undefined || host === lastAccepted) return true;
      const url = `http://${host}`;
      if (!URL.canParse(url) || (isOpen && !LOOPBACK.test(new URL(url).hostname))) return false;
      lastAccepted = host;
      return true;
    },
    // Clients that are not browsers send no Origin.
    acceptsOrigin: ({ origin, host = '' }) =>
      origin === undefined || isListedOrigin(origin) || isOwnOrigin(origin, host),
  };
}

/** Compares URLs, so that `Host: name:443` matches `https://name`. */
function isOwnOrigin(origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, host: originHost } = new URL(origin);
  const own = `${protocol}//${host}`;
  return originHost !== '' && URL.canParse(own) && new URL(own).host === originHost;
}
