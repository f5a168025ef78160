import { createHash, timingSafeEqual } from 'node:crypto';
import { GatewayError } from '../../errors.ts';
import type { VerifyToken } from './token-verifier.ts';

/** The header by which the router of a larger graph identifies itself: the secret, or `Bearer` and a JWT. */
export const ROUTER_HEADER = 'router-authorization';

/**
 * Tells the router of a larger graph from other callers. Both throw UPSTREAM_UNAVAILABLE where the
 * keys cannot be fetched that a JWT is verified with.
 */
export interface RouterTrust {
  /** Whether the value of the header, null where it was not sent, is the router's. */
  recognises(header: string | null): Promise<boolean>;
  /** Whether the request is the router's; any request is, where nothing is configured to tell. */
  trusts(request: Request): Promise<boolean>;
}

export interface RouterTrustOptions {
  secret: string | null;
  verify: VerifyToken | null;
}

export function createRouterTrust({ secret, verify }: RouterTrustOptions): RouterTrust {
  const isConfigured = secret !== null || verify !== null;
  return {
    recognises,
    trusts: async request => !isConfigured || recognises(request.headers.get(ROUTER_HEADER)),
  };

  async function recognises(header: string | null): Promise<boolean> {
    if (header === null) return false;
    if (secret !== null && isSame(header, secret)) return true;
    const [, token] = /^Bearer +(\S+)$/i.exec(header) ?? [];
    if (verify === null || token === undefined) return false;
    try {
      await verify(token);
      return true;
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'UNAUTHENTICATED') return false;
      throw error;
    }
  }
}

/** Compares digests, whose lengths are equal, in a time that does not depend on where they differ. */
function isSame(one: string, other: string): boolean {
  const [first, second] = [one, other].map(text => createHash('sha256').update(text).digest());
  return first !== undefined && second !== undefined && timingSafeEqual(first, second);
}
