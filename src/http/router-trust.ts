import { createHash, timingSafeEqual } from 'node:crypto';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import type { JwtOptions } from './authenticate.ts';

/** The header in which the router of a larger graph shows who it is: the secret, or `Bearer` and a JWT. */
export const ROUTER_HEADER = 'router-authorization';

/** Tells the router of a larger graph from other callers. */
export interface RouterTrust {
  /** Whether what stands in the header, null where it is not sent, is the router's. */
  recognises(header: string | null): Promise<boolean>;
  /** The same, where there is anything to tell it by; else everybody is trusted as it would be. */
  trusts(request: Request): Promise<boolean>;
}

export interface RouterTrustOptions {
  secret: string | null;
  jwt: JwtOptions | null;
}

export function createRouterTrust({ secret, jwt }: RouterTrustOptions): RouterTrust {
  const keys = jwt && createRemoteJWKSet(jwt.jwksUrl);
  const isConfigured = secret !== null || jwt !== null;
  return {
    recognises,
    trusts: async request => !isConfigured || recognises(request.headers.get(ROUTER_HEADER)),
  };

  async function recognises(header: string | null): Promise<boolean> {
    if (header === null) return false;
    if (secret !== null && isSame(header, secret)) return true;
    const [, token] = /^Bearer +(\S+)$/i.exec(header) ?? [];
    if (jwt === null || keys === null || token === undefined) return false;
    const { issuer, audience } = jwt;
    return jwtVerify(token, keys, { issuer, audience, requiredClaims: ['exp'] }).then(
      () => true,
      () => false,
    );
  }
}

/** Of digests, whose lengths tell nothing, and in a time that does not tell how much is right. */
function isSame(one: string, other: string): boolean {
  const [first, second] = [one, other].map(text => createHash('sha256').update(text).digest());
  return first !== undefined && second !== undefined && timingSafeEqual(first, second);
}
