import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
  createServer,
} from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, type Server, createServer as createSocketServer } from 'node:net';
import type { TestContext } from 'node:test';
import { type Clock, systemClock } from '../../src/clock.ts';
import { readConfig } from '../../src/config.ts';
import { startGateway } from '../../src/gateway.ts';
import { createCapturedLog } from './captured-log.ts';
import { secretWatchOf } from './secret-watch.ts';
import { postGraphQL } from './start.ts';

export type Respond = (response: ServerResponse, request: IncomingMessage) => void;

/** An upstream that grants tokens and answers all other requests as the test defines. */
export interface HostileUpstream {
  url: string;
  port: number;
  /** Requests to the REST API: target and headers. */
  requests: { target: string; headers: IncomingHttpHeaders }[];
  /** Answers the next requests to the REST API. */
  respond: Respond;
  /** Answers the next requests for a token. */
  respondToken: Respond;
}

/**
 * Self-signed certificates: for tenant.example.test and loopback; for another host; for loopback,
 * expired.
 */
export type CertificateName = 'good' | 'other' | 'expired';

export const TOKEN = 'opaque-token-of-the-gateway';

export const certificatePath = (name: CertificateName) =>
  new URL(`certificates/${name}.pem`, import.meta.url).pathname;

/**
 * Starts a hostile upstream; with a certificate, over TLS. It answers with empty lists until it is
 * changed.
 */
export async function startHostileUpstream(
  t: TestContext,
  certificate?: CertificateName,
): Promise<HostileUpstream> {
  const listener: RequestListener = (request, response) => {
    if (request.url?.endsWith('/oauth/token')) return upstream.respondToken(response, request);
    upstream.requests.push({ target: request.url ?? '', headers: request.headers });
    upstream.respond(response, request);
  };
  const server =
    certificate === undefined
      ? createServer(listener)
      : createTlsServer(
          {
            cert: readFileSync(certificatePath(certificate)),
            key: readFileSync(certificatePath(certificate).replace('.pem', '.key')),
          },
          listener,
        );
  const port = await listen(t, server);
  const upstream: HostileUpstream = {
    url: `${certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    requests: [],
    respond: response => sendJson(response, 200, []),
    respondToken: response => sendJson(response, 200, { access_token: TOKEN, expires_in: 749 }),
  };
  t.after(() => server.closeAllConnections());
  return upstream;
}

/**
 * A server that answers any data with these bytes and closes the connection; for null it resets the
 * connection.
 */
export async function startRawServer(t: TestContext, bytes: string | null): Promise<number> {
  const server = createSocketServer(socket => {
    socket.on('error', () => {});
    socket.once('data', () => (bytes === null ? socket.resetAndDestroy() : socket.end(bytes)));
  });
  return listen(t, server);
}

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

/** A gateway over any upstream, with its log captured. */
export async function startGatewayOver(
  t: TestContext,
  upstreamUrl: string,
  env: Record<string, string> = {},
  clock: Clock = systemClock,
) {
  const log = createCapturedLog();
  const variables = {
    // It takes plain HTTP of this machine only.
    SAIL_BASE_URL: 'https://tenant.example.test',
    SAIL_CLIENT_ID: 'client',
    SAIL_CLIENT_SECRET: 'secret of the client',
    AUTH_MODE: 'service',
    PORT: '0',
    MAX_STALENESS_MS: '0',
    UPSTREAM_RATE_LIMIT: '100000',
    SHUTDOWN_GRACE_MS: '200',
    ...env,
  };
  const secrets = secretWatchOf(t);
  secrets.addEnvironment(variables);
  const gateway = await startGateway(
    { ...readConfig(variables), baseUrl: new URL(upstreamUrl) },
    clock,
    secrets.watchLog(log),
  );
  secrets.addPort(Number(new URL(gateway.url).port));
  t.after(async () => {
    await gateway.close();
    secrets.check();
  });
  return {
    log,
    gateway,
    url: gateway.url,
    query: (query: string, variables = {}, headers: Record<string, string> = {}) =>
      postGraphQL(gateway.url, query, variables, headers),
    /** The logged causes of failed attempts. */
    causes: () =>
      log.lines
        .filter(({ message }) => message === 'an attempt at upstream failed')
        .map(({ cause }) => String(cause)),
  };
}
