import { createRemoteJWKSet, jwtVerify } from 'jose';
import { GatewayError } from '../errors.ts';
import { type Credential, createCallerCredential } from '../upstream/credentials.ts';

/** The credential of whoever sent this Authorization header. Throws UNAUTHENTICATED. */
export type Authenticate = (authorization: string | null) => Promise<Credential>;

/** Where the keys are that callers' JWTs are signed with, and what else they must say. */
export interface JwtOptions {
  jwksUrl: URL;
  issuer: string;
  audience: string;
}

/** The caller's own token goes upstream, which is who judges it. */
export function createPassthroughAuthenticate(): Authenticate {
  return async authorization => createCallerCredential(readToken(authorization));
}

/** The gateway's own credential, for whoever presents a JWT that verifies; for everybody, without `jwt`. */
export function createServiceAuthenticate(
  credential: Credential,
  jwt: JwtOptions | null,
): Authenticate {
  if (jwt === null) return async () => credential;
  const { issuer, audience } = jwt;
  const keys = createRemoteJWKSet(jwt.jwksUrl);
  return async authorization => {
    const token = readToken(authorization);
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience,
      requiredClaims: ['exp'],
    }).catch((cause: unknown) => {
      throw new GatewayError('UNAUTHENTICATED', 'The bearer token does not verify.', { cause });
    });
    return { ...credential, expiresAt: (payload.exp ?? 0) * 1000 };
  };
}

function readToken(authorization: string | null): string {
  const [, token] = /^Bearer +([\w\-.~+/]+=*)$/i.exec(authorization ?? '') ?? [];
  if (token === undefined)
    throw new GatewayError(
      'UNAUTHENTICATED',
      'A bearer token is wanted in the Authorization header.',
    );
  return token;
}
