import type { IncomingHttpHeaders } from 'node:http';
import type { OriginMatcher } from './origin-pattern.ts';

export interface OriginPolicyOptions {
  /** Whether callers need no credential of their own, because the gateway lends them its own. */
  isOpen: boolean;
  /** Whether a browser's origin is listed. */
  isListedOrigin: OriginMatcher;
}

/** Tells requests of clients from requests that a page on another site makes a browser send. */
export interface OriginPolicy {
  /** Whether the Host names this gateway: an attacker can point a name of their own at this machine (DNS rebinding). */
  acceptsHost(headers: IncomingHttpHeaders): boolean;
  /** Whether the origin may open a WebSocket, for which browsers send no preflight. */
  acceptsOrigin(headers: IncomingHttpHeaders): boolean;
}

const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;

export function createOriginPolicy({ isOpen, isListedOrigin }: OriginPolicyOptions): OriginPolicy {
  return {
    acceptsHost({ host }) {
      // HTTP/1.0, which no browser speaks.
      if (host === undefined) return true;
      const url = `http://${host}`;
      if (!URL.canParse(url)) return false;
      return !isOpen || LOOPBACK.test(new URL(url).hostname);
    },
    // Clients that are not browsers send no Origin.
    acceptsOrigin: ({ origin, host = '' }) =>
      origin === undefined || isListedOrigin(origin) || isOwnOrigin(origin, host),
  };
}

/** Compared as URLs: `Host: name:443` is the host of `https://name`. */
function isOwnOrigin(origin: string, host: string): boolean {
  if (!URL.canParse(origin)) return false;
  const { protocol, host: originHost } = new URL(origin);
  const own = `${protocol}//${host}`;
  return originHost !== '' && URL.canParse(own) && new URL(own).host === originHost;
}
