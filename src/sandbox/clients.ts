import { SignJWT, errors, jwtVerify } from 'jose';
import type { Clock } from '../clock.ts';
import type { Random } from './random.ts';
import { unauthorized } from './refusal.ts';

/** An API client of the tenant. */
export interface Client {
  id: string;
  secret: string;
  /**
   * `user`: a personal access token, which acts as a user. `application`: acts as no user, and may
   * not PATCH.
   */
  kind: 'user' | 'application';
  /** The user level, such as ORG_ADMIN. HELPDESK may read but not PATCH. */
  level: string;
  /** The sources whose tasks the client sees; undefined: all tasks. */
  sourceIds?: readonly string[];
}

/** The client that a token belongs to, and when the token expires. */
export interface Bearer {
  client: Client;
  expiresAtMs: number;
}

// Bounded, because a client may fetch a token for each request.
const MAX_REMEMBERED = 10_000;

/** The tenant's API clients. Issues their tokens, signed JWTs that expire, and verifies them. */
export class Clients {
  readonly #clients = new Map<string, Client>();
  readonly #verified = new Map<string, Bearer>();
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #lifetimeSeconds: number;
  readonly #key: Uint8Array;

  constructor(random: Random, clock: Clock, lifetimeSeconds: number) {
    this.#random = random;
    this.#clock = clock;
    this.#lifetimeSeconds = lifetimeSeconds;
    this.#key = Buffer.from(random.hex(64), 'hex');
  }

  /**
   * Adds a client. Like those of personal access tokens, ids have 32 and secrets 64 hexadecimal
   * digits.
   */
  add(options: Partial<Client> = {}): Client {
    const client: Client = {
      id: this.#random.hex(32),
      secret: this.#random.hex(64),
      kind: 'user',
      level: 'ORG_ADMIN',
      ...options,
    };
    this.#clients.set(client.id, client);
    return client;
  }

  /** The client with this id and secret. */
  find(id: string, secret: string): Client | undefined {
    const client = this.#clients.get(id);
    return client?.secret === secret ? client : undefined;
  }

  /** Issues a token. Returns the response body of the token endpoint. */
  async grant(client: Client): Promise<Record<string, unknown>> {
    const nowSeconds = Math.floor(this.#clock.now() / 1000);
    const jti = this.#random.hex(32);
    const identity = { tenant_id: 'sandbox', pod: 'sandbox', org: 'sandbox', jti };
    const user =
      client.kind === 'user' ? { identity_id: client.id, user_name: 'sandbox.user' } : {};
    const token = await new SignJWT({ client_id: client.id, ...identity, ...user })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuedAt(nowSeconds)
      .setExpirationTime(nowSeconds + this.#lifetimeSeconds)
      .sign(this.#key);
    return {
      access_token: token,
      token_type: 'bearer',
      expires_in: this.#lifetimeSeconds,
      scope: 'sp:scopes:all',
      ...identity,
      ...user,
    };
  }

  /**
   * Returns the client of the token in an Authorization header. Throws a Refusal with status 401 if
   * the token is not valid.
   */
  async verify(authorization: string | undefined): Promise<Client> {
    const [, token] = /^Bearer (\S+)$/i.exec(authorization ?? '') ?? [];
    if (token === undefined) throw unauthorized('JWT validation failed: JWT is missing');
    const bearer = this.#verified.get(token) ?? (await this.#read(token));
    if (bearer.expiresAtMs <= this.#clock.now()) {
      this.#verified.delete(token);
      throw unauthorized('JWT validation failed: JWT is expired');
    }
    return bearer.client;
  }

  async #read(token: string): Promise<Bearer> {
    const currentDate = new Date(this.#clock.now());
    const { payload } = await jwtVerify(token, this.#key, { currentDate }).catch(
      (error: unknown) => {
        const reason = error instanceof errors.JWTExpired ? 'JWT is expired' : 'JWT is not valid';
        throw unauthorized(`JWT validation failed: ${reason}`);
      },
    );
    const client = this.#clients.get(String(payload['client_id']));
    if (!client) throw unauthorized('JWT validation failed: JWT is not valid');
    const bearer = { client, expiresAtMs: (payload.exp ?? 0) * 1000 };
    if (this.#verified.size >= MAX_REMEMBERED) this.#verified.clear();
    this.#verified.set(token, bearer);
    return bearer;
  }
}
