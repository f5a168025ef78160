import {
  type JWTHeaderParameters,
  type JWTPayload,
  type JWTVerifyOptions,
  createRemoteJWKSet,
  customFetch,
  errors,
  jwtVerify,
} from 'jose';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { describeConnectionError } from '../../upstream/connection-error.ts';

/** The key set that JWTs must be signed with, and the claims that they must have. */
export interface JwtOptions {
  jwksUrl: URL;
  /** Null: not checked. */
  issuer: string | null;
  audience: string | null;
}

export interface TokenVerifierParts {
  /** Fetches the keys. */
  fetch: typeof globalThis.fetch;
  clock: Clock;
  log: Log;
  /** Seconds by which the issuer's clock may differ from this one. */
  clockToleranceSeconds: number;
}

/**
 * Verifies a JWT and returns its claims. Throws UNAUTHENTICATED if it is invalid, or
 * UPSTREAM_UNAVAILABLE if the keys cannot be fetched.
 */
export type VerifyToken = (token: string) => Promise<JWTPayload>;

// Keys are refreshed after this time. The old ones stay in use meanwhile.
const REFRESH_MS = 600_000;
// After a failed fetch, the next one starts at the earliest after this time.
const RETRY_MS = 2_000;
// A token that does not name its key is tried with at most so many keys.
const MAX_TRIED_KEYS = 20;

/** `variable` is the configuration variable of the URL, for the log. */
export function createTokenVerifier(
  variable: string,
  { jwksUrl, issuer, audience }: JwtOptions,
  { fetch, clock, log, clockToleranceSeconds }: TokenVerifierParts,
): VerifyToken {
  const options: JWTVerifyOptions = {
    ...(issuer === null ? {} : { issuer }),
    ...(audience === null ? {} : { audience }),
    requiredClaims: ['exp'],
    clockTolerance: clockToleranceSeconds,
  };
  let failure: { error: unknown; at: number } | null = null;
  /** When to refresh the keys, on the monotonic clock; null before the first fetch. */
  let refreshAt: number | null = null;
  const keys = createRemoteJWKSet(jwksUrl, {
    // `refresh` fetches the keys; until it succeeds, the known keys stay in use.
    cacheMaxAge: Infinity,
    [customFetch]: fetchKeys,
  });

  return async token => {
    refresh();
    try {
      return await verify(token);
    } catch (cause) {
      if (cause instanceof GatewayError) throw cause;
      throw new GatewayError('UNAUTHENTICATED', 'The bearer token does not verify.', { cause });
    }
  };

  async function verify(token: string): Promise<JWTPayload> {
    try {
      return await verifyWithKnown(token);
    } catch (error) {
      // A token that does not name its key may be signed with a new one, so fetch the keys before
      // refusing it.
      const mayBeNew = error instanceof errors.JWSSignatureVerificationFailed && !keys.coolingDown;
      if (!mayBeNew || namesKey(token)) throw error;
      await keys.reload().catch(unavailable);
      return verifyWithKnown(token);
    }
  }

  async function verifyWithKnown(token: string): Promise<JWTPayload> {
    try {
      return (await jwtVerify(token, keyFor, options)).payload;
    } catch (error) {
      if (error instanceof errors.JWKSMultipleMatchingKeys) return verifyWithAny(token, error);
      throw error;
    }
  }

  async function verifyWithAny(
    token: string,
    matching: errors.JWKSMultipleMatchingKeys,
  ): Promise<JWTPayload> {
    let tried = 0;
    for await (const key of matching) {
      if (++tried > MAX_TRIED_KEYS) break;
      try {
        return (await jwtVerify(token, key, options)).payload;
      } catch (error) {
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
      }
    }
    throw new errors.JWSSignatureVerificationFailed();
  }

  async function keyFor(...token: Parameters<typeof keys>) {
    try {
      return await keys(...token);
    } catch (error) {
      const isAboutToken =
        error instanceof errors.JWKSNoMatchingKey ||
        error instanceof errors.JWKSMultipleMatchingKeys ||
        error instanceof errors.JOSENotSupported;
      if (isAboutToken) throw error;
      return unavailable(error);
    }
  }

  function refresh(): void {
    const now = clock.monotonic();
    // The first fetch happens on demand, in `keys`.
    if (refreshAt === null || now < refreshAt) return;
    refreshAt = now + REFRESH_MS;
    keys.reload().catch(() => (refreshAt = clock.monotonic() + RETRY_MS));
  }

  async function fetchKeys(...request: Parameters<typeof fetch>): Promise<Response> {
    const now = clock.monotonic();
    if (failure !== null && now - failure.at < RETRY_MS) throw failure.error;
    try {
      const response = await fetch(...request);
      if (response.status !== 200) throw new Error(`the status is ${response.status}`);
      failure = null;
      refreshAt = now + REFRESH_MS;
      return response;
    } catch (error) {
      failure = { error, at: clock.monotonic() };
      log.warn({ variable, cause: explain(error) }, 'the keys of an issuer cannot be fetched');
      throw error;
    }
  }
}

function unavailable(cause: unknown): never {
  throw new GatewayError(
    'UPSTREAM_UNAVAILABLE',
    'The keys to verify the token cannot be fetched at the moment.',
    { cause },
  );
}

function explain(error: unknown): string {
  const { name, message, cause } = error as Error;
  if (name === 'TimeoutError') return 'no answer came in time';
  // fetch() puts the reason into the cause of its error.
  return cause === undefined ? message : describeConnectionError(cause);
}

function namesKey(token: string): boolean {
  try {
    const header = Buffer.from(token.split('.', 1)[0] ?? '', 'base64url').toString();
    return (JSON.parse(header) as JWTHeaderParameters).kid !== undefined;
  } catch {
    return true;
  }
}
