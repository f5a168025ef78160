import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { type AddressInfo, Server as NetServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { ErrorCode } from '../errors.ts';
import {
  type ConnectionLimitsOptions,
  checkingIntervalOf,
  limitConnections,
  refuse,
} from './access/connection-limits.ts';
import { createOriginPolicy } from './access/origin-policy.ts';
import { type CallbackSenderOptions, createCallbackSender } from './transports/callback-sender.ts';
import type { Credential } from '../upstream/credentials.ts';
import type { Authenticate } from './access/authenticate.ts';
import { createOperationGate } from './access/operation-gate.ts';
import { createOriginMatcher } from './access/origin-pattern.ts';
import {
  type PersistedDocumentsOptions,
  createPersistedDocuments,
} from './access/persisted-documents.ts';
import { createRequestSpace } from './access/request-space.ts';
import { answerPreflight, setCorsHeaders, setSecurityHeaders } from './access/response-headers.ts';
import { ROUTER_HEADER } from './access/router-trust.ts';
import { type PagesOptions, createPages } from './pages/pages.ts';
import { createSubscriptionCallbacks } from './transports/callback.ts';
import { type WebSocketOptions, createWebSocketServer } from './transports/websocket.ts';
import { createDrain } from './transports/drain.ts';
import { type GraphQLServerParts, createGraphQLServer } from './graphql-server.ts';
import { serveUpgrades } from './upgrades.ts';

export interface HttpServerParts
  extends
    Omit<GraphQLServerParts, 'path' | 'callbacks' | 'gate' | 'drain' | 'requestSpace'>,
    Omit<WebSocketOptions, 'originPolicy' | 'gate' | 'connectionLimits' | 'drain' | 'requestSpace'>,
    ConnectionLimitsOptions,
    PagesOptions,
    Omit<CallbackSenderOptions, 'hosts' | 'resolve'> {
  host: string;
  port: number;
  authenticate: Authenticate;
  /** Whether upstream has accepted a credential, or its claims are verified. */
  isProven(credential: Credential): boolean;
  /** Whether callers need no credential, because the gateway uses its own for all of them. */
  isOpen: boolean;
  /**
   * Origins that browsers may call from, besides the gateway's own. `https://*.example.com` allows all
   * subdomains.
   */
  corsOrigins: readonly string[];
  persistedDocuments: PersistedDocumentsOptions;
  /** Hosts that callers may have subscription events sent to. */
  callbackHosts: readonly string[];
  /** Milliseconds after which an idle connection is closed. */
  keepAliveTimeoutMs: number;
  shutdown: ShutdownOptions;
}

export interface ShutdownOptions {
  /**
   * Milliseconds from the beginning of the shutdown, when the gateway is no longer ready, until it
   * stops listening.
   */
  delayMs: number;
  /** Milliseconds from then on in which requests are answered and streams end. */
  graceMs: number;
}

/** A listening server. */
export interface HttpServer {
  /** The URL of the GraphQL endpoint. */
  url: string;
  close(): Promise<void>;
}

const GRAPHQL_PATH = '/graphql';
// Shares of the time for the shutdown: to end streams, and until connections are closed.
const ENDING_SHARE = 0.5;
const ANSWERING_SHARE = 0.9;
const ROUTER_ONLY = toBody('FORBIDDEN', 'This subgraph accepts requests only from its router.');
const WRONG_HOST = toBody('FORBIDDEN', 'The Host header does not name this gateway.');
const NOT_FOUND = toBody('NOT_FOUND', `GraphQL is at ${GRAPHQL_PATH}.`);

/** Starts listening; serves every route of the gateway on one port. */
export async function startHttpServer({
  host,
  port,
  callbackHosts,
  shutdown,
  ...parts
}: HttpServerParts): Promise<HttpServer> {
  const server = createServer(
    { connectionsCheckingInterval: checkingIntervalOf(parts.clientTimeoutMs) },
    (request, response) => void route(request, response),
  );
  const drain = createDrain(server);
  const callbacks = createSubscriptionCallbacks({
    ...parts,
    drain,
    sender: createCallbackSender({ ...parts, hosts: callbackHosts }),
    isTrusted: parts.routerTrust.isTrusted,
  });
  const isListedOrigin = createOriginMatcher(parts.corsOrigins);
  const originPolicy = createOriginPolicy({ isOpen: parts.isOpen, isListedOrigin });
  const pages = createPages({ ...parts, board: parts.board && !parts.isRouterOnly });
  const gate = createOperationGate({
    ...parts,
    documents: createPersistedDocuments(parts.persistedDocuments),
    mayReadSchema: async header =>
      parts.introspection || parts.routerTrust.isRouter(header(ROUTER_HEADER)),
  });
  const requestSpace = createRequestSpace();
  const yoga = createGraphQLServer({
    ...parts,
    path: GRAPHQL_PATH,
    gate,
    callbacks,
    drain,
    requestSpace,
  });
  const connectionLimits = limitConnections(server, parts);
  const sockets = createWebSocketServer(GRAPHQL_PATH, yoga.getEnveloped, {
    ...parts,
    originPolicy,
    gate,
    connectionLimits,
    drain,
    requestSpace,
  });
  serveUpgrades(server, sockets.upgrade);
  server.keepAliveTimeout = parts.keepAliveTimeoutMs;
  server.listen(port, host);
  await once(server, 'listening');

  const { port: boundPort } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${boundPort}${GRAPHQL_PATH}`,
    async close() {
      drain.begin();
      await wait(shutdown.delayMs);
      // Not the close() of HTTP servers, which also closes idle connections. A request may be on its
      // way on one.
      NetServer.prototype.close.call(server);
      const closed = once(server, 'close');
      const finished = new AbortController();
      await Promise.race([
        drain.finish(shutdown.graceMs * ENDING_SHARE).finally(() => finished.abort()),
        wait(shutdown.graceMs * ANSWERING_SHARE, undefined, finished).catch(() => {}),
      ]);
      await callbacks.close();
      sockets.terminate();
      server.closeAllConnections();
      // The server no longer listens; this ends its timers.
      server.close();
      await closed;
    },
  };

  async function route(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    setSecurityHeaders(response);
    const refusal = connectionLimits.admit(request, response);
    if (refusal !== null) return refuse(response, refusal);
    request.url = toOriginForm(request.url ?? '/');
    const path = request.url.split('?', 1)[0] ?? '/';
    switch (path) {
      case GRAPHQL_PATH:
      case `${GRAPHQL_PATH}/stream`:
        if (!originPolicy.acceptsHost(request.headers)) return sendJson(response, 403, WRONG_HOST);
        if (parts.corsOrigins.length > 0) setCorsHeaders(request, response, isListedOrigin);
        if (request.method === 'OPTIONS') return answerPreflight(request, response);
        try {
          if (!(await isAllowed(request))) return sendJson(response, 403, ROUTER_ONLY);
        } catch (error) {
          const { message, extensions } = parts.maskError(error);
          return sendJson(response, 503, { errors: [{ message, extensions }] });
        }
        // The client disconnected while the router's token was checked.
        if (response.destroyed) return undefined;
        if (path === GRAPHQL_PATH && pages.sendGraphiQL(request, response)) return undefined;
        return yoga(request, response);
      case '/health/live':
        return sendJson(response, 200, { status: 'ok' });
      case '/health/ready':
        if (drain.hasBegun) return sendJson(response, 503, { status: 'draining' });
        return sendJson(response, 200, { status: 'ok' });
      case '/':
        if (!originPolicy.acceptsHost(request.headers)) return sendJson(response, 403, WRONG_HOST);
        if (pages.sendBoard(request, response)) return undefined;
        if (!parts.graphiql) return sendJson(response, 404, NOT_FOUND);
        // Relative, because a proxy may serve the gateway under a path.
        return response.writeHead(307, { location: GRAPHQL_PATH.slice(1) }).end();
      default:
        if (pages.sendAsset(path, request, response)) return undefined;
        return sendJson(response, 404, NOT_FOUND);
    }
  }

  async function isAllowed({ headers }: IncomingMessage): Promise<boolean> {
    if (!parts.isRouterOnly) return true;
    return parts.routerTrust.isRouter([headers[ROUTER_HEADER]].flat()[0] ?? null);
  }
}

/** The path and query of a request target. A client may send an absolute URL (RFC 9112, section 3.2.2). */
function toOriginForm(target: string): string {
  if (target.startsWith('/') || !URL.canParse(target)) return target;
  const { pathname, search } = new URL(target);
  return pathname + search;
}

function toBody(code: ErrorCode, message: string): object {
  return { errors: [{ message, extensions: { code } }] };
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
