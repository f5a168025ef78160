import { GatewayError } from '../../errors.ts';
import { type Credential, createCallerCredential } from '../../upstream/credentials.ts';
import type { VerifyToken } from './token-verifier.ts';

/**
 * The credential that an Authorization header stands for. Throws UNAUTHENTICATED, and
 * UPSTREAM_UNAVAILABLE where it cannot be found out whether the token is good.
 */
export type Authenticate = (authorization: string | null) => Promise<Credential>;

/** The caller's own token goes upstream, which judges it. */
export function createPassthroughAuthenticate(): Authenticate {
  return async authorization => createCallerCredential(readToken(authorization));
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
    const { exp = 0 } = await verify(readToken(authorization));
    return { ...credential, expiresAt: (exp + clockToleranceSeconds) * 1000 };
  };
}

function readToken(authorization: string | null): string {
  const [, token] = /^Bearer +([\w\-.~+/]+=*)$/i.exec(authorization ?? '') ?? [];
  if (token === undefined)
    throw new GatewayError('UNAUTHENTICATED', 'The Authorization header must hold a bearer token.');
  return token;
}
