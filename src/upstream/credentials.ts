import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import { AttemptFailure } from './admission/attempt-failure.ts';
import type { Requests, TokenSource } from './request.ts';
import { TokenJson } from './wire.ts';

/**
 * On whose behalf requests are sent. Data fetched with one credential is never served to another.
 */
export interface Credential extends TokenSource {
  /** Equal for equal credentials. It does not reveal the token. */
  key: string;
  /** Whose budget is spent. Upstream counts requests by client_id. */
  clientId: string;
  /** Whether every instance of the gateway has this credential, so that one may poll for all. */
  isShared: boolean;
  /**
   * When the caller's access expires, in milliseconds since the epoch; null if only upstream knows.
   */
  expiresAt: number | null;
  /**
   * Whether its claims are verified. Otherwise upstream must accept the token before it spends its
   * client's budget.
   */
  isVerified: boolean;
  /** Identifies the caller. Callers that share a budget are served round robin. */
  caller: string;
  /** The address that the caller's request came from. */
  address: string;
}

/** The gateway's own client, used for all callers in service mode. */
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

// The token is renewed this long before it expires. Until then the old one stays in use.
const RENEW_BEFORE_MS = 60_000;
// A failed renewal is tried again after this time, or as soon as the old token has expired.
const RENEW_RETRY_MS = 5_000;
// After upstream refused the client itself, retrying sooner would not help.
const REFUSED_PAUSE_MS = 30_000;

export interface CallerOptions {
  address?: string;
  /** Whether the claims of the token have been verified. */
  isVerified?: boolean;
  /** Milliseconds since the epoch; null if only upstream knows. */
  expiresAt?: number | null;
}

/** What is read from a caller's bearer token, without verifying it. */
export interface CallerToken {
  token: string;
  /** Its SHA-256, which stands for it where it must not be revealed. */
  hash: string;
  clientId: string;
}

export function readCallerToken(token: string): CallerToken {
  const hash = createHash('sha256').update(token).digest('base64url');
  return { token, hash, clientId: clientIdOf(token) ?? hash };
}

/**
 * The caller's own bearer token. Only its claim `client_id` is read, to choose the budget. Unless
 * the claims are verified, it spends from that budget only after upstream has accepted the token
 * (see admission/proof.ts).
 */
export function createCallerCredential(
  { token, hash, clientId }: CallerToken,
  { address = '', isVerified = false, expiresAt = null }: CallerOptions = {},
): Credential {
  return {
    key: `caller ${hash}`,
    clientId,
    isShared: false,
    expiresAt,
    isVerified,
    caller: hash,
    address,
    token: () => token,
    discard: () => false,
  };
}

/**
 * The gateway's client credentials: one token for all callers. All who need it share one fetch,
 * which continues if they leave. The fetch is retried and paused like any request (see request.ts).
 */
export function createServiceCredential(
  { id, secret }: ServiceClient,
  { requests, tokenPath, clock, log, onToken }: ServiceCredentialParts,
): Credential {
  let current: { token: string; renewAt: number; expiresAt: number } | null = null;
  let fetching: Promise<string> | null = null;
  /** Upstream's refusal of the client, and when to try again. */
  let refusal: { error: GatewayError; until: number } | null = null;

  return {
    key: `service ${id}`,
    clientId: id,
    isShared: true,
    expiresAt: null,
    isVerified: true,
    caller: '',
    address: '',
    token() {
      const now = clock.monotonic();
      if (current === null || now >= current.expiresAt) return fetchOnce();
      const { token, renewAt } = current;
      if (now >= renewAt && !isRefusedAt(now)) {
        current.renewAt = now + RENEW_RETRY_MS;
        // Do not wait for the renewal, because the current token is still valid. Failures are
        // logged.
        fetchOnce().catch(() => {});
      }
      return token;
    },
    discard(token) {
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
    const requestedAt = clock.monotonic();
    if (refusal !== null && isRefusedAt(requestedAt))
      throw clientRefused(refusal.error, refusal.until - requestedAt);
    const { data } = TokenJson.safeParse((await requestToken()).json);
    if (!data) {
      const cause = 'the answer of the token endpoint holds no token';
      log.warn({ request: `POST ${tokenPath}`, cause }, 'an attempt at upstream failed');
      throw new GatewayError(
        'UPSTREAM_INVALID_RESPONSE',
        "The answer of upstream's token endpoint holds no token.",
      );
    }
    refusal = null;
    const lifetimeMs = data.expires_in * 1000;
    current = {
      token: data.access_token,
      renewAt: requestedAt + Math.max(lifetimeMs - RENEW_BEFORE_MS, lifetimeMs / 2),
      expiresAt: requestedAt + lifetimeMs,
    };
    return data.access_token;
  }

  async function requestToken() {
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
      // Log it once, not again after every pause.
      if (refusal === null)
        log.error(
          { status: error.status, reason: error.message },
          'upstream refuses the client credentials of the gateway: check SAIL_CLIENT_ID and SAIL_CLIENT_SECRET',
        );
      refusal = { error, until: clock.monotonic() + REFUSED_PAUSE_MS };
      throw clientRefused(error, REFUSED_PAUSE_MS);
    }
  }

  function isRefusedAt(now: number): boolean {
    return refusal !== null && now < refusal.until;
  }
}

/** Whether the token endpoint refused the client itself, so that a retry is useless. */
function isFinal(error: unknown): error is AttemptFailure {
  return (
    error instanceof AttemptFailure &&
    ['UNAUTHENTICATED', 'BAD_USER_INPUT', 'FORBIDDEN', 'NOT_FOUND'].includes(error.code)
  );
}

function clientRefused(cause: GatewayError, waitMs: number): GatewayError {
  const { upstream } = cause.extensions;
  // Not UNAUTHENTICATED: the caller can do nothing about it.
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
