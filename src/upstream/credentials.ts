import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { SendAttempt } from './attempt.ts';
import type { Budget } from './budget.ts';
import { TokenJson } from './wire.ts';

/** On whose behalf upstream is asked. What one credential fetched is never shown to another. */
export interface Credential {
  /** Equal for equal rights; it cannot be turned back into a token. */
  key: string;
  /** Whose budget is spent; upstream counts by it. */
  clientId: string;
  /** Whether every instance of the gateway has it, so that one may look for all. */
  isShared: boolean;
  /** When the caller's own right to it ends, in milliseconds since the epoch; null: it is for upstream to say. */
  expiresAt: number | null;
  /** A token that is good for the next minute at least, where it can be had. */
  token(): Promise<string>;
  /** Upstream refused this token: whether `token()` may now give a better one. */
  refused(token: string): boolean;
}

/** The gateway's own client, for every caller. */
export interface ServiceClient {
  id: string;
  secret: string;
}

// Fetched anew this long before it expires, so that no request leaves with a token about to.
const RENEW_BEFORE_MS = 60_000;
const TOKEN_PATIENCE_MS = 30_000;

/**
 * The caller's own bearer token. Of its claims only `client_id` is read, and only to know whose
 * budget it spends: who forges one is refused by upstream and has slowed down nobody but that client.
 */
export function createCallerCredential(token: string): Credential {
  const key = createHash('sha256').update(token).digest('base64url');
  return {
    key: `caller ${key}`,
    clientId: clientIdOf(token) ?? key,
    isShared: false,
    expiresAt: null,
    token: async () => token,
    refused: () => false,
  };
}

/** Client credentials: one token for all, fetched by whoever first needs it, once at a time. */
export function createServiceCredential(
  { id, secret }: ServiceClient,
  {
    send,
    tokenPath,
    budget,
    clock,
  }: { send: SendAttempt; tokenPath: string; budget: Budget; clock: Clock },
): Credential {
  let current: { token: string; renewAt: number } | null = null;
  let fetching: Promise<string> | null = null;

  return {
    key: `service ${id}`,
    clientId: id,
    isShared: true,
    expiresAt: null,
    async token() {
      if (current !== null && clock.monotonic() < current.renewAt) return current.token;
      fetching ??= fetchToken().finally(() => (fetching = null));
      return fetching;
    },
    refused(token) {
      if (current?.token === token) current = null;
      return true;
    },
  };

  async function fetchToken(): Promise<string> {
    const slot = await budget.acquire({ lane: 'interactive', patienceMs: TOKEN_PATIENCE_MS });
    const answer = await send({
      method: 'POST',
      path: tokenPath,
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: id,
        client_secret: secret,
      }).toString(),
      onSettled: slot.settle,
    });
    const { data } = TokenJson.safeParse(answer.json);
    // The caller can do nothing about it, so it is not called UNAUTHENTICATED.
    if (answer.status !== 200 || !data)
      throw new GatewayError(
        'UPSTREAM_UNAVAILABLE',
        "Upstream did not accept the gateway's own credentials.",
        {
          upstream: {
            status: answer.status,
            detailCode: null,
            trackingId: answer.header('slpt-request-id'),
          },
        },
      );
    const lifetimeMs = data.expires_in * 1000;
    current = {
      token: data.access_token,
      renewAt: clock.monotonic() + Math.max(lifetimeMs - RENEW_BEFORE_MS, lifetimeMs / 2),
    };
    return data.access_token;
  }
}

function clientIdOf(token: string): string | null {
  try {
    const { client_id: clientId } = decodeJwt<{ client_id?: unknown }>(token);
    return typeof clientId === 'string' && clientId !== '' ? clientId : null;
  } catch {
    return null;
  }
}
