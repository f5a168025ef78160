import { once } from 'node:events';
import { type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';

export interface Issuer {
  jwksUrl: string;
  issuer: string;
  /** Replaces the answer with the keys; null: answers with the keys. */
  fault: ((response: ServerResponse) => void) | null;
  /** The number of requests for the keys. */
  requests: number;
  close(): void;
  sign(options?: {
    key?: number;
    kid?: string | null;
    audience?: string;
    subject?: string;
    clientId?: string;
    expiresInSeconds?: number;
    notBeforeInSeconds?: number;
  }): Promise<string>;
}

/** An issuer that signs JWTs with one of several keys and publishes the keys. */
export async function startIssuer(t: TestContext, keyCount = 1): Promise<Issuer> {
  const pairs = await Promise.all(
    Array.from({ length: keyCount }, () => generateKeyPair('RS256', { extractable: true })),
  );
  const jwks = await Promise.all(
    pairs.map(async ({ publicKey }, place) => ({
      ...(await exportJWK(publicKey)),
      kid: `k${place}`,
      alg: 'RS256',
    })),
  );
  const server = createServer((_request, response) => {
    issuer.requests++;
    if (issuer.fault) return issuer.fault(response);
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: jwks }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer: Issuer = {
    jwksUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    issuer: 'https://issuer.example.com',
    fault: null,
    requests: 0,
    close() {
      server.closeAllConnections();
      server.close();
    },
    async sign({
      key = 0,
      kid = `k${key}`,
      audience = 'gateway',
      subject,
      clientId,
      ...times
    } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const { expiresInSeconds = 300, notBeforeInSeconds = 0 } = times;
      return new SignJWT({
        ...(subject === undefined ? {} : { sub: subject }),
        ...(clientId === undefined ? {} : { client_id: clientId }),
      })
        .setProtectedHeader({ alg: 'RS256', ...(kid === null ? {} : { kid }) })
        .setIssuer(issuer.issuer)
        .setAudience(audience)
        .setNotBefore(now + notBeforeInSeconds)
        .setExpirationTime(now + expiresInSeconds)
        .sign(pairs[key]!.privateKey);
    },
  };
  t.after(issuer.close);
  return issuer;
}
