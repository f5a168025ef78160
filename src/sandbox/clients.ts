import { SignJWT, errors, jwtVerify } from 'jose';
import type { Clock } from '../clock.ts';
import type { Random } from './random.ts';
import { unauthorized } from './refusal.ts';

/** An API client of the tenant. */
export interface Client {
  id: string;
  secret: string;
  /** A personal access token stands for a user; an application does not, and may not PATCH. */
  kind: 'user' | 'application';
  /** The user level, such as ORG_ADMIN. HELPDESK may read but not PATCH. */
  level: string;
  /** The sources whose tasks it sees; undefined: all tasks. */
  sourceIds?: readonly string[];
}

/** Who sent a request, as its token says. */
export interface Bearer {
  client: Client;
  expiresAtMs: number;
}

// Bounded: a client that fetches a token for each request must not fill the sandbox.
const MAX_REMEMBERED = 10_000;

/** The tenant's clients and the tokens they are given: signed JWTs that expire. */
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

  /** A new client: ids have 32 and secrets 64 hexadecimal digits, as personal access tokens have. */
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

  /** What the token endpoint answers. */
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

  /** Whose token stands in an Authorization header; a 401 where it is no good. */
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
