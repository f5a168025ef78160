import { UnsecuredJWT } from 'jose';

/** What the tenant of these benches makes of a token. */
export type TokenKind =
  | 'good'
  | 'forged'
  | 'paused'
  | 'paused for ever'
  | 'too long'
  | 'reset'
  | 'endless'
  | 'huge';

export interface Claims {
  kind: TokenKind;
  client_id: string;
}

/** Requests that the tenant allows one client in a window, as upstream does. */
export const LIMIT = 100;
export const WINDOW_MS = 10_000;

let serial = 0;

/** A new token that names this client, and is treated by the tenant as `kind` says. */
export function tokenOf(kind: TokenKind, client: string, padding = ''): string {
  const claims = { kind, client_id: client, jti: `${process.pid} ${serial++} ${padding}` };
  return new UnsecuredJWT(claims).encode();
}
