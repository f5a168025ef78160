import { GatewayError } from '../../errors.ts';
import { type Credential, createCallerCredential } from '../../upstream/credentials.ts';
import type { VerifyToken } from './token-verifier.ts';

/**
 * The credential that an Authorization header stands for. Throws UNAUTHENTICATED, and
 * UPSTREAM_UNAVAILABLE where it cannot be found out whether the token is good.
 */
export type Authenticate = (authorization: string | null, address: string) => Promise<Credential>;

/**
 * The caller's own token goes upstream, which judges it; with `verify`, only if it verifies.
 * `clockToleranceSeconds` is how long after its `exp` a verified token is still good.
 */
export function createPassthroughAuthenticate(
  verify: VerifyToken | null,
  clockToleranceSeconds: number,
): Authenticate {
  return async (authorization, address) => {
    const token = readToken(authorization);
    if (verify === null) return createCallerCredential(token, { address });
    const { exp = 0 } = await verify(token);
    return createCallerCredential(token, {
      address,
      isVerified: true,
      expiresAt: (exp + clockToleranceSeconds) * 1000,
    });
  };
}

/**
 * The gateway's own credential, for callers who present a JWT that verifies; for everybody, without
 * `verify`. `clockToleranceSeconds` is how long after its `exp` a JWT is still good.
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
