import { createHash, timingSafeEqual } from 'node:crypto';
import { GatewayError } from '../../errors.ts';
import type { VerifyToken } from './token-verifier.ts';

/**
 * The header that identifies the router of a supergraph: the shared secret, or `Bearer` and a JWT.
 */
export const ROUTER_HEADER = 'router-authorization';

/**
 * Recognises the router of a supergraph. Both methods throw UPSTREAM_UNAVAILABLE if the keys to
 * verify a JWT cannot be fetched.
 */
export interface RouterTrust {
  /**
   * Whether the value of `ROUTER_HEADER` identifies the router; null if the header was not sent.
   */
  isRouter(header: string | null): Promise<boolean>;
  /**
   * Whether the request is the router's. True for all requests if neither a secret nor keys are
   * configured.
   */
  isTrusted(request: Request): Promise<boolean>;
}

export interface RouterTrustOptions {
  secret: string | null;
  verify: VerifyToken | null;
}

/** Null options are not configured. */
export function createRouterTrust({ secret, verify }: RouterTrustOptions): RouterTrust {
  const isConfigured = secret !== null || verify !== null;
  return {
    isRouter,
    isTrusted: async request => !isConfigured || isRouter(request.headers.get(ROUTER_HEADER)),
  };

  async function isRouter(header: string | null): Promise<boolean> {
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

/** Compares in constant time. Digests have equal lengths, which `timingSafeEqual` requires. */
function isSame(one: string, other: string): boolean {
  const [first, second] = [one, other].map(text => createHash('sha256').update(text).digest());
  return first !== undefined && second !== undefined && timingSafeEqual(first, second);
}
