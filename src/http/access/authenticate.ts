import { LRUCache } from 'lru-cache';
import { GatewayError } from '../../errors.ts';
import {
  type CallerToken,
  type Credential,
  createCallerCredential,
  readCallerToken,
} from '../../upstream/credentials.ts';
import type { VerifyToken } from './token-verifier.ts';

/**
 * Returns the credential for an Authorization header. Throws UNAUTHENTICATED, or
 * UPSTREAM_UNAVAILABLE if the token cannot be verified at the moment.
 */
export type Authenticate = (authorization: string | null, address: string) => Promise<Credential>;

// Bytes that remembered tokens, their hashes and clients take. Forged ones are remembered too.
const MAX_KNOWN_BYTES = 8_388_608;
const BYTES_PER_TOKEN = 400;

/**
 * Uses the caller's own token upstream. With `verify`, the token must verify first, and it is
 * accepted for `clockToleranceSeconds` after its `exp`.
 */
export function createPassthroughAuthenticate(
  verify: VerifyToken | null,
  clockToleranceSeconds: number,
  refusalOf: (key: string) => GatewayError | null,
): Authenticate {
  const known = new LRUCache<string, CallerToken>({
    maxSize: MAX_KNOWN_BYTES,
    sizeCalculation: ({ token, clientId }) => BYTES_PER_TOKEN + token.length + clientId.length,
  });
  return async (authorization, address) => {
    const token = readToken(authorization);
    if (verify === null) {
      const credential = createCallerCredential(read(token), { address });
      // Upstream has just refused the token: do no more work for it.
      const refusal = refusalOf(credential.key);
      if (refusal !== null) throw refusal;
      return credential;
    }
    const { exp = 0 } = await verify(token);
    return createCallerCredential(read(token), {
      address,
      isVerified: true,
      expiresAt: (exp + clockToleranceSeconds) * 1000,
    });
  };

  function read(token: string): CallerToken {
    const before = known.get(token);
    if (before !== undefined) return before;
    const caller = readCallerToken(token);
    known.set(token, caller);
    return caller;
  }
}

/**
 * Uses the gateway's own credential for callers with a valid JWT, or for all callers without
 * `verify`. A JWT is accepted for `clockToleranceSeconds` after its `exp`.
 */
export function createServiceAuthenticate(
  credential: Credential,
  verify: VerifyToken | null,
  clockToleranceSeconds: number,
): Authenticate {
  if (verify === null) return async () => credential;
  return async authorization => {
    const { exp = 0, sub } = await verify(readToken(authorization));
    return {
      ...credential,
      caller: sub === undefined ? '' : `sub ${sub}`,
      expiresAt: (exp + clockToleranceSeconds) * 1000,
    };
  };
}

function readToken(authorization: string | null): string {
  const [, token] = /^Bearer +([\w\-.~+/]+=*)$/i.exec(authorization ?? '') ?? [];
  if (token === undefined)
    throw new GatewayError('UNAUTHENTICATED', 'The Authorization header must hold a bearer token.');
  return token;
}
