import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type ConnectionLimitsOptions,
  checkingIntervalOf,
  limitConnections,
  refuse,
} from './access/connection-limits.ts';
import { type OriginPolicyOptions, createOriginPolicy } from './access/origin-policy.ts';
import { type CallbackSenderOptions, createCallbackSender } from './transports/callback-sender.ts';
import { ROUTER_HEADER } from './access/router-trust.ts';
import { createSubscriptionCallbacks } from './transports/callback.ts';
import { type WebSocketOptions, serveWebSocket } from './transports/websocket.ts';
import { type GraphQLServerParts, createGraphQLServer } from './graphql-server.ts';

export interface HttpServerParts
  extends
    Omit<GraphQLServerParts, 'path' | 'callbacks'>,
    Omit<WebSocketOptions, 'originPolicy' | 'connectionLimits'>,
    ConnectionLimitsOptions,
    OriginPolicyOptions,
    Omit<CallbackSenderOptions, 'hosts' | 'resolve'> {
  host: string;
  port: number;
  /** Where events of subscriptions may be sent, on a caller's word. */
  callbackHosts: readonly string[];
}

/** A server that listens. */
export interface HttpServer {
  /** Where GraphQL is. */
  url: string;
  close(): Promise<void>;
}

const GRAPHQL_PATH = '/graphql';
const CLOSED = forbidden('This subgraph is asked through its router.');
const NOT_HERE = forbidden('The Host of the request is not one of this gateway.');

/** Every route of the gateway, on one port. */
export async function startHttpServer({
  host,
  port,
  callbackHosts,
  ...parts
}: HttpServerParts): Promise<HttpServer> {
  const callbacks = createSubscriptionCallbacks({
    ...parts,
    sender: createCallbackSender({ ...parts, hosts: callbackHosts }),
    isTrusted: parts.routerTrust.trusts,
  });
  const originPolicy = createOriginPolicy(parts);
  const yoga = createGraphQLServer({ ...parts, path: GRAPHQL_PATH, callbacks });
  const server = createServer(
    { connectionsCheckingInterval: checkingIntervalOf(parts.clientTimeoutMs) },
    (request, response) => void route(request, response),
  );
  const connectionLimits = limitConnections(server, parts);
  server.listen(port, host);
  await once(server, 'listening');
  // After that, or it would have something of its own to say of a port that is taken.
  const sockets = serveWebSocket(server, GRAPHQL_PATH, yoga.getEnveloped, {
    ...parts,
    originPolicy,
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
    const refusal = connectionLimits.admit(request, response);
    if (refusal !== null) return refuse(response, refusal);
    switch (request.url?.split('?', 1)[0]) {
      case GRAPHQL_PATH:
      case `${GRAPHQL_PATH}/stream`:
        if (!originPolicy.acceptsHost(request.headers)) return sendJson(response, 403, NOT_HERE);
        try {
          if (!(await isLetIn(request))) return sendJson(response, 403, CLOSED);
        } catch (error) {
          const { message, extensions } = parts.maskError(error);
          return sendJson(response, 503, { errors: [{ message, extensions }] });
        }
        // Who has hung up meanwhile is not seen to by what comes now.
        return response.destroyed ? undefined : yoga(request, response);
      case '/health/live':
      case '/health/ready':
        return sendJson(response, 200, { status: 'ok' });
      case '/':
        return response.writeHead(307, { location: GRAPHQL_PATH }).end();
      default:
        return sendJson(response, 404, { error: `GraphQL is at ${GRAPHQL_PATH}.` });
    }
  }

  async function isLetIn({ headers }: IncomingMessage): Promise<boolean> {
    if (!parts.isRouterOnly) return true;
    return parts.routerTrust.recognises([headers[ROUTER_HEADER]].flat()[0] ?? null);
  }
}

function forbidden(message: string): object {
  return { errors: [{ message, extensions: { code: 'FORBIDDEN' } }] };
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
