import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, Server as NetServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { REFUSALS, sendRefusal } from './answers.ts';
import {
  type ConnectionLimitsOptions,
  checkingIntervalOf,
  limitConnections,
} from './access/connection-limits.ts';
import { createOriginPolicy } from './access/origin-policy.ts';
import { type CallbackSenderOptions, createCallbackSender } from './transports/callback-sender.ts';
import { createOperationGate } from './access/operation-gate.ts';
import { createOriginMatcher } from './access/origin-pattern.ts';
import {
  type PersistedDocumentsOptions,
  createPersistedDocuments,
} from './access/persisted-documents.ts';
import { createRequestSpace } from './access/request-space.ts';
import { setSecurityHeaders } from './access/response-headers.ts';
import { ROUTER_HEADER } from './access/router-trust.ts';
import type { HttpServer } from './http-server.ts';
import { createFetch } from './in-memory-fetch.ts';
import { type PagesOptions, createPages } from './pages/pages.ts';
import { createKeptResponses } from './operations/kept-responses.ts';
import { createResponsesUnderWay } from './operations/responses-under-way.ts';
import { createDirectPost } from './transports/direct-post.ts';
import { createDirectStreams } from './transports/direct-streams.ts';
import { createSubscriptionCallbacks } from './transports/callback.ts';
import { type WebSocketOptions, createWebSocketServer } from './transports/websocket.ts';
import { createDrain } from './transports/drain.ts';
import { createResponseFormats } from './transports/response-results.ts';
import { type GraphQLServerParts, createGraphQLServer } from './graphql-server.ts';
import { toLocalTarget, toPathPrefix } from './request-target.ts';
import { GRAPHQL_PATH, type RoutesParts, createRoutes } from './routes.ts';
import { serveUpgrades } from './upgrades.ts';

export interface HttpServerParts
  extends
    Omit<
      GraphQLServerParts,
      'path' | 'callbacks' | 'gate' | 'drain' | 'requestSpace' | 'responseFormats'
    >,
    Omit<
      WebSocketOptions,
      'originPolicy' | 'gate' | 'knownSubscriptions' | 'connectionLimits' | 'drain' | 'requestSpace'
    >,
    Omit<ConnectionLimitsOptions, 'onUnreadable'>,
    PagesOptions,
    Omit<CallbackSenderOptions, 'hosts' | 'resolve'>,
    Pick<RoutesParts, 'checkReadiness' | 'metrics'> {
  /** Whether callers need no credential, because the gateway uses its own for all of them. */
  isOpen: boolean;
  /**
   * Origins that browsers may call from, besides the gateway's own. `https://*.example.com` allows
   * all subdomains.
   */
  corsOrigins: readonly string[];
  persistedDocuments: PersistedDocumentsOptions;
  /** Hosts that callers may have subscription events sent to. */
  callbackHosts: readonly string[];
  /** Milliseconds after which an idle connection is closed. */
  keepAliveTimeoutMs: number;
  shutdown: ShutdownOptions;
  /** Fails what still waits for upstream, because the time for the shutdown is nearly over. */
  giveUp(): void;
  /**
   * The path under which an application serves the gateway, such as `/api`; empty if it is the
   * root.
   */
  pathPrefix: string;
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

// With Node's 511, a part of a thousand clients that connect at once would be made to wait for a
// second, after which their systems try again. The operating system may allow fewer.
const LISTEN_BACKLOG = 4_096;

/** Builds what answers requests, and the server that takes them. */
export function createHttpServer({
  callbackHosts,
  shutdown,
  pathPrefix: givenPrefix,
  ...parts
}: HttpServerParts): HttpServer {
  const pathPrefix = toPathPrefix(givenPrefix);
  const server = createServer(
    {
      connectionsCheckingInterval: checkingIntervalOf(parts.clientTimeoutMs),
      // Node would refuse a request without a Host header, but without a code.
      requireHostHeader: false,
    },
    (request, response) => {
      // The connection ends after an earlier answer: there is no way to send another.
      if (request.socket.writableEnded) return;
      if (isClosed) sendRefusal(response, REFUSALS.closed);
      else serve(request, response);
    },
  );
  server.on('checkExpectation', (_request, response) => {
    setSecurityHeaders(response);
    sendRefusal(response, REFUSALS.unexpected);
  });
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
    documents: createPersistedDocuments(
      parts.persistedDocuments,
      parts.persistedDocuments.isManifestOnly ? pages.readDocuments() : [],
    ),
    mayReadSchema: async header =>
      parts.introspection || parts.routerTrust.isRouter(header(ROUTER_HEADER)),
  });
  const requestSpace = createRequestSpace();
  const responseFormats = createResponseFormats(drain, parts.maskError);
  const { yoga, answerByYoga, runKnownQuery, knownSubscriptions } = createGraphQLServer({
    ...parts,
    path: GRAPHQL_PATH,
    gate,
    callbacks,
    drain,
    requestSpace,
    responseFormats,
  });
  const keptResponses = createKeptResponses(parts.sessions);
  const responsesUnderWay = createResponsesUnderWay(parts.sessions);
  const responses = { keptResponses, responsesUnderWay };
  const answering = { yoga, answerByYoga, runKnownQuery, ...responses, gate, requestSpace };
  const directPost = createDirectPost({ ...parts, ...answering });
  const directStreams = createDirectStreams({
    ...parts,
    answerByYoga,
    knownSubscriptions,
    sse: responseFormats.sse,
    gate,
    requestSpace,
  });
  const connectionLimits = limitConnections(server, {
    ...parts,
    onUnreadable: refusal => parts.log.info(refusal, 'a request could not be read'),
  });
  const sockets = createWebSocketServer(GRAPHQL_PATH, yoga.getEnveloped, {
    ...parts,
    originPolicy,
    gate,
    knownSubscriptions,
    connectionLimits,
    drain,
    requestSpace,
  });
  serveUpgrades(server, (request, socket, head) => {
    request.url = toLocalTarget(request.url, pathPrefix);
    sockets.upgrade(request, socket, head);
  });
  const serve = createRoutes({
    ...parts,
    pathPrefix,
    isListedOrigin,
    originPolicy,
    connectionLimits,
    pages,
    directPost,
    directStreams,
    answerByYoga,
  });
  server.keepAliveTimeout = parts.keepAliveTimeoutMs;
  let isClosed = false;

  return {
    fetch: createFetch(server),
    handle(request, response) {
      // Middleware that parses bodies came first, so the body would never arrive.
      if (request.readableEnded) return sendRefusal(response, REFUSALS.alreadyRead);
      server.emit('request', request, response);
    },
    upgrade(request, socket, head) {
      if (isClosed) return void socket.end('HTTP/1.1 503 Service Unavailable\r\n\r\n');
      server.emit('upgrade', request, socket, head);
    },
    async listen(host, port) {
      server.listen({ port, host, backlog: LISTEN_BACKLOG });
      await once(server, 'listening');
      const { port: boundPort } = server.address() as AddressInfo;
      return `http://${host.includes(':') ? `[${host}]` : host}:${boundPort}${GRAPHQL_PATH}`;
    },
    async close() {
      drain.begin();
      // Only a port has a balancer that must notice first.
      if (server.listening) await wait(shutdown.delayMs);
      // Not the close() of HTTP servers, which also closes idle connections. A request may be on
      // its way on one.
      NetServer.prototype.close.call(server);
      const closed = once(server, 'close');
      await drain.finish(shutdown.graceMs, parts.giveUp);
      await callbacks.close();
      sockets.terminate();
      server.closeAllConnections();
      // The server no longer listens; this ends its timers.
      server.close();
      await closed;
      isClosed = true;
    },
  };
}
