import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { ErrorCode } from '../errors.ts';
import {
  type ConnectionLimitsOptions,
  checkingIntervalOf,
  limitConnections,
  refuse,
} from './access/connection-limits.ts';
import { createOriginPolicy } from './access/origin-policy.ts';
import { type CallbackSenderOptions, createCallbackSender } from './transports/callback-sender.ts';
import type { Authenticate } from './access/authenticate.ts';
import { createOperationGate } from './access/operation-gate.ts';
import { createOriginMatcher } from './access/origin-pattern.ts';
import {
  type PersistedDocumentsOptions,
  createPersistedDocuments,
} from './access/persisted-documents.ts';
import { answerPreflight, setCorsHeaders, setSecurityHeaders } from './access/response-headers.ts';
import { REQUEST_ID_HEADER, requestIdOf } from './observation/request-id.ts';
import { ROUTER_HEADER } from './access/router-trust.ts';
import { METRICS_PATH, type MetricsPage, sendMetrics } from './observation/metrics-server.ts';
import { createGraphiQLPage } from './pages/graphiql.ts';
import { createSubscriptionCallbacks } from './transports/callback.ts';
import { type WebSocketOptions, serveWebSocket } from './transports/websocket.ts';
import { type GraphQLServerParts, createGraphQLServer } from './graphql-server.ts';

export interface HttpServerParts
  extends
    Omit<GraphQLServerParts, 'path' | 'callbacks' | 'gate'>,
    Omit<WebSocketOptions, 'originPolicy' | 'gate' | 'connectionLimits'>,
    ConnectionLimitsOptions,
    Omit<CallbackSenderOptions, 'hosts' | 'resolve'> {
  host: string;
  port: number;
  authenticate: Authenticate;
  /** Whether callers need no credential, because the gateway uses its own for all of them. */
  isOpen: boolean;
  /** Origins that browsers may call from, besides the gateway's own. `https://*.example.com` allows all subdomains. */
  corsOrigins: readonly string[];
  graphiql: boolean;
  persistedDocuments: PersistedDocumentsOptions;
  /** Hosts that callers may have subscription events sent to. */
  callbackHosts: readonly string[];
  /** Whether the gateway can serve, and why not, as JSON. */
  checkReadiness(): Promise<{ status: 'ready' | 'unready' }>;
  /** The path `/metrics`; null where it is served on a port of its own. */
  metrics: MetricsPage | null;
}

/** A listening server. */
export interface HttpServer {
  /** The URL of the GraphQL endpoint. */
  url: string;
  close(): Promise<void>;
}

const GRAPHQL_PATH = '/graphql';
const ROUTER_ONLY = toBody('FORBIDDEN', 'This subgraph accepts requests only from its router.');
const WRONG_HOST = toBody('FORBIDDEN', 'The Host header does not name this gateway.');
const NOT_FOUND = toBody('NOT_FOUND', `GraphQL is at ${GRAPHQL_PATH}.`);

/** Starts listening; serves every route of the gateway on one port. */
export async function startHttpServer({
  host,
  port,
  callbackHosts,
  ...parts
}: HttpServerParts): Promise<HttpServer> {
  const callbacks = createSubscriptionCallbacks({
    ...parts,
    sender: createCallbackSender({ ...parts, hosts: callbackHosts }),
    isTrusted: parts.routerTrust.isTrusted,
  });
  const isListedOrigin = createOriginMatcher(parts.corsOrigins);
  const originPolicy = createOriginPolicy({ isOpen: parts.isOpen, isListedOrigin });
  const graphiql = parts.graphiql ? createGraphiQLPage() : null;
  const gate = createOperationGate({
    ...parts,
    documents: createPersistedDocuments(parts.persistedDocuments),
    mayReadSchema: async header =>
      parts.introspection || parts.routerTrust.isRouter(header(ROUTER_HEADER)),
  });
  const yoga = createGraphQLServer({ ...parts, path: GRAPHQL_PATH, gate, callbacks });
  const server = createServer(
    { connectionsCheckingInterval: checkingIntervalOf(parts.clientTimeoutMs) },
    (request, response) => void route(request, response),
  );
  const connectionLimits = limitConnections(server, parts);
  server.listen(port, host);
  await once(server, 'listening');
  // Attached after listening, so that an error such as a port in use is only reported once.
  const sockets = serveWebSocket(server, GRAPHQL_PATH, yoga.getEnveloped, {
    ...parts,
    originPolicy,
    gate,
    connectionLimits,
  });

  const { port: boundPort } = server.address() as AddressInfo;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${boundPort}${GRAPHQL_PATH}`,
    async close() {
      await callbacks.close();
      await sockets.close();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };

  async function route(request: IncomingMessage, response: ServerResponse): Promise<unknown> {
    setSecurityHeaders(response);
    const header = (name: string) => [request.headers[name]].flat()[0] ?? null;
    response.setHeader(REQUEST_ID_HEADER, requestIdOf(header));
    const refusal = connectionLimits.admit(request, response);
    if (refusal !== null) return refuse(response, refusal);
    const path = request.url?.split('?', 1)[0];
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
        if (path === GRAPHQL_PATH && graphiql?.accepts(request)) return graphiql.answer(response);
        return yoga(request, response);
      case '/health/live':
        return sendJson(response, 200, { status: 'ok' });
      case '/health/ready': {
        const readiness = await parts.checkReadiness();
        return sendJson(response, readiness.status === 'ready' ? 200 : 503, readiness);
      }
      case METRICS_PATH:
        if (parts.metrics === null) return sendJson(response, 404, NOT_FOUND);
        return sendMetrics(response, parts.metrics);
      case '/':
        return response.writeHead(307, { location: GRAPHQL_PATH }).end();
      default:
        return sendJson(response, 404, NOT_FOUND);
    }
  }

  async function isAllowed({ headers }: IncomingMessage): Promise<boolean> {
    if (!parts.isRouterOnly) return true;
    return parts.routerTrust.isRouter([headers[ROUTER_HEADER]].flat()[0] ?? null);
  }
}

function toBody(code: ErrorCode, message: string): object {
  return { errors: [{ message, extensions: { code } }] };
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
