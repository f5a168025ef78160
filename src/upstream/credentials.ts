import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import { AttemptFailure } from './admission/attempt-failure.ts';
import type { Requests, TokenSource } from './request.ts';
import { TokenJson } from './wire.ts';

/** On whose behalf upstream is asked. What one credential fetched is never shown to another. */
export interface Credential extends TokenSource {
  /** Equal for equal rights; it cannot be turned back into a token. */
  key: string;
  /** Whose budget is spent; upstream counts by it. */
  clientId: string;
  /** Whether every instance of the gateway has it, so that one may poll for all. */
  isShared: boolean;
  /** When the caller's own right to it ends, in milliseconds since the epoch; null: it is for upstream to say. */
  expiresAt: number | null;
  /** Whether it is known to be good without upstream: what it claims may then choose what it spends. */
  isVerified: boolean;
  /** Who asks with it: callers take turns where several share a budget. */
  caller: string;
  /** The address of whoever brought it. */
  address: string;
}

/** The gateway's own client, for every caller. */
export interface ServiceClient {
  id: string;
  secret: string;
}

export interface ServiceCredentialParts {
  /** Sends without a token. */
  requests: Pick<Requests, 'send'>;
  tokenPath: string;
  clock: Clock;
  log: Log;
  /** Called when a token was fetched, and when none could be although one is needed. */
  onToken?(error: GatewayError | null): void;
}

// Fetched anew this long before it expires, while it is still good for what is asked meanwhile.
const RENEW_BEFORE_MS = 60_000;
// A renewal that failed is tried again after this long, or as soon as the old token has expired.
const RENEW_AGAIN_MS = 5_000;
// Upstream does not know the client, and will not know it a moment later.
const REFUSED_PAUSE_MS = 30_000;

export interface CallerOptions {
  address?: string;
  /** Whether the claims of the token have been verified. */
  isVerified?: boolean;
  /** Milliseconds since the epoch; null: it is for upstream to say. */
  expiresAt?: number | null;
}

/**
 * The caller's own bearer token. Of its claims only `client_id` is read, to know whose budget it spends. Unless
 * the claims are verified, it spends from that only once upstream has accepted it (see admission/proof.ts).
 */
export function createCallerCredential(
  token: string,
  { address = '', isVerified = false, expiresAt = null }: CallerOptions = {},
): Credential {
  const key = createHash('sha256').update(token).digest('base64url');
  return {
    key: `caller ${key}`,
    clientId: clientIdOf(token) ?? key,
    isShared: false,
    expiresAt,
    isVerified,
    caller: key,
    address,
    token: async () => token,
    refused: () => false,
  };
}

/**
 * Client credentials: one token for all. One request fetches it, whoever needs it meanwhile, and goes
 * on when they leave. The fetch is retried and paused like any read (see request.ts).
 */
export function createServiceCredential(
  { id, secret }: ServiceClient,
  { requests, tokenPath, clock, log, onToken }: ServiceCredentialParts,
): Credential {
  let current: { token: string; renewAt: number; expiresAt: number } | null = null;
  let fetching: Promise<string> | null = null;
  /** The refusal of the client, and until when it is not asked for again. */
  let refusal: { error: GatewayError; until: number } | null = null;

  return {
    key: `service ${id}`,
    clientId: id,
    isShared: true,
    expiresAt: null,
    isVerified: true,
    caller: '',
    address: '',
    async token() {
      const now = clock.monotonic();
      if (current === null || now >= current.expiresAt) return fetchOnce();
      const { token, renewAt } = current;
      if (now >= renewAt && !isRefusedAt(now)) {
        current.renewAt = now + RENEW_AGAIN_MS;
        // What is good for now is not held up by what is for later. A failure is in the log.
        fetchOnce().catch(() => {});
      }
      return token;
    },
    refused(token) {
      if (current?.token === token) current = null;
      return true;
    },
  };

  function fetchOnce(): Promise<string> {
    fetching ??= fetchToken()
      .then(
        token => {
          onToken?.(null);
          return token;
        },
        (error: unknown) => {
          const isNeeded = current === null || clock.monotonic() >= current.expiresAt;
          if (isNeeded && error instanceof GatewayError) onToken?.(error);
          throw error;
        },
      )
      .finally(() => (fetching = null));
    return fetching;
  }

  async function fetchToken(): Promise<string> {
    const askedAt = clock.monotonic();
    if (refusal !== null && isRefusedAt(askedAt))
      throw refused(refusal.error, refusal.until - askedAt);
    const { data } = TokenJson.safeParse((await ask()).json);
    if (!data) {
      const cause = 'the answer to a request for a token holds none';
      log.warn({ request: `POST ${tokenPath}`, cause }, 'an attempt at upstream failed');
      throw new GatewayError(
        'UPSTREAM_INVALID_RESPONSE',
        'Upstream answered the request for a token with something else.',
      );
    }
    refusal = null;
    const lifetimeMs = data.expires_in * 1000;
    current = {
      token: data.access_token,
      renewAt: askedAt + Math.max(lifetimeMs - RENEW_BEFORE_MS, lifetimeMs / 2),
      expiresAt: askedAt + lifetimeMs,
    };
    return data.access_token;
  }

  async function ask() {
    const form = { grant_type: 'client_credentials', client_id: id, client_secret: secret };
    try {
      return await requests.send({
        method: 'POST',
        endpoint: 'token',
        path: tokenPath,
        lane: 'token',
        form,
        isSafe: true,
      });
    } catch (error) {
      if (!isFinal(error)) throw error;
      // Once, and not again with every pause that has passed.
      if (refusal === null)
        log.error(
          { status: error.status, said: error.message },
          'upstream refuses the client credentials of the gateway: check SAIL_CLIENT_ID and SAIL_CLIENT_SECRET',
        );
      refusal = { error, until: clock.monotonic() + REFUSED_PAUSE_MS };
      throw refused(error, REFUSED_PAUSE_MS);
    }
  }

  function isRefusedAt(now: number): boolean {
    return refusal !== null && now < refusal.until;
  }
}

/** Whether the token endpoint has refused the client itself, so that asking again is of no use. */
function isFinal(error: unknown): error is AttemptFailure {
  return (
    error instanceof AttemptFailure &&
    ['UNAUTHENTICATED', 'BAD_USER_INPUT', 'FORBIDDEN', 'NOT_FOUND'].includes(error.code)
  );
}

function refused(cause: GatewayError, waitMs: number): GatewayError {
  const { upstream } = cause.extensions;
  // The caller can do nothing about it, so it is not UNAUTHENTICATED.
  return new GatewayError(
    'UPSTREAM_UNAVAILABLE',
    "Upstream did not accept the gateway's own credentials.",
    { cause, retryAfterSeconds: Math.ceil(waitMs / 1000), ...(upstream ? { upstream } : {}) },
  );
}

function clientIdOf(token: string): string | null {
  try {
    const { client_id: clientId } = decodeJwt<{ client_id?: unknown }>(token);
    return typeof clientId === 'string' && clientId !== '' ? clientId : null;
  } catch {
    return null;
  }
}
