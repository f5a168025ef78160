import type { IncomingHttpHeaders } from 'node:http';

export interface OriginPolicyOptions {
  /** Whether callers need no credential of their own, because the gateway lends them its own. */
  isOpen: boolean;
  /** Origins of browsers that may call, besides the gateway's own. */
  corsOrigins: readonly string[];
}

/** Tells requests of clients from requests that a page on another site makes a browser send. */
export interface OriginPolicy {
  /** Whether the Host names this gateway: an attacker can point a name of their own at this machine (DNS rebinding). */
  acceptsHost(headers: IncomingHttpHeaders): boolean;
  /** Whether the origin may open a WebSocket, for which browsers send no preflight. */
  acceptsOrigin(headers: IncomingHttpHeaders): boolean;
}

const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;

export function createOriginPolicy({ isOpen, corsOrigins }: OriginPolicyOptions): OriginPolicy {
  return {
    acceptsHost({ host = '' }) {
      const url = `http://${host}`;
      if (!URL.canParse(url)) return false;
      return !isOpen || LOOPBACK.test(new URL(url).hostname);
    },
    // Clients that are not browsers send no Origin.
    acceptsOrigin: ({ origin, host }) =>
      origin === undefined ||
      corsOrigins.includes(origin) ||
      (URL.canParse(origin) && new URL(origin).host === host),
  };
}
