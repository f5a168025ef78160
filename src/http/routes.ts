import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ConnectionLimits } from './access/connection-limits.ts';
import { refuse } from './access/connection-refusal.ts';
import { type MaskError, codeOf } from './access/mask-error.ts';
import type { OriginMatcher } from './access/origin-pattern.ts';
import type { OriginPolicy } from './access/origin-policy.ts';
import { answerPreflight, setCorsHeaders, setSecurityHeaders } from './access/response-headers.ts';
import { ROUTER_HEADER, type RouterTrust } from './access/router-trust.ts';
import { REFUSALS, type RequestRefusal, notFoundBut, sendJson, sendRefusal } from './answers.ts';
import { METRICS_PATH, type MetricsPage, sendMetrics } from './observation/metrics-server.ts';
import type { OperationRecords } from './observation/operation-records.ts';
import { createRecordRefusal } from './observation/refused-requests.ts';
import { REQUEST_ID_HEADER, requestIdOf } from './observation/request-id.ts';
import type { Pages } from './pages/pages.ts';
import { toLocalTarget } from './request-target.ts';
import type { DirectPost } from './transports/direct-post.ts';
import type { DirectStreams } from './transports/direct-streams.ts';
import type { AnswerByYoga } from './transports/yoga-adapter.ts';

/** Answers a request, whatever it asks for, or has it answered by the part that does. */
export type ServeRequest = (request: IncomingMessage, response: ServerResponse) => void;

export interface RoutesParts {
  /**
   * The path under which an application serves the gateway, such as `/api`; empty if it is the
   * root.
   */
  pathPrefix: string;
  corsOrigins: readonly string[];
  isListedOrigin: OriginMatcher;
  originPolicy: OriginPolicy;
  connectionLimits: ConnectionLimits;
  /** Whether operations are taken only from the router of a federated graph. */
  isRouterOnly: boolean;
  routerTrust: RouterTrust;
  records: OperationRecords;
  maskError: MaskError;
  pages: Pages;
  graphiql: boolean;
  directPost: DirectPost;
  directStreams: DirectStreams;
  answerByYoga: AnswerByYoga;
  /** Whether the gateway can serve, and why not, as JSON. */
  checkReadiness(): Promise<{ status: string }>;
  /** Served at `/metrics`; null if the metrics have a port of their own. */
  metrics: MetricsPage | null;
}

export const GRAPHQL_PATH = '/graphql';
const STREAM_PATH = `${GRAPHQL_PATH}/stream`;
const LIVENESS_PATH = '/health/live';

/** Serves every route of the gateway. */
export function createRoutes(parts: RoutesParts): ServeRequest {
  const { pathPrefix, isListedOrigin, originPolicy, connectionLimits, pages } = parts;
  const { directPost, directStreams, answerByYoga } = parts;
  const notFound = notFoundBut(pathPrefix + GRAPHQL_PATH);
  const recordRefusal = createRecordRefusal(parts.records, {
    [GRAPHQL_PATH]: 'http',
    [STREAM_PATH]: 'single-connection',
  });

  return serve;

  function serve(request: IncomingMessage, response: ServerResponse): void {
    setSecurityHeaders(response);
    const header = (name: string) => [request.headers[name]].flat()[0] ?? null;
    response.setHeader(REQUEST_ID_HEADER, requestIdOf(header));
    request.url = toLocalTarget(request.url, pathPrefix);
    const path = request.url.split('?', 1)[0] ?? '';
    const refusal = connectionLimits.admit(request, response);
    if (refusal !== null) {
      if (path !== LIVENESS_PATH) {
        recordRefusal(request, response, refusal.code);
        return refuse(response, refusal);
      }
      // A gateway with too many connections works, and a restart would end them all.
      response.setHeader('connection', 'close');
    }
    if (request.headers.host === undefined && request.httpVersion === '1.1')
      return sendRefusal(response, REFUSALS.noHost);
    switch (path) {
      case GRAPHQL_PATH:
      case STREAM_PATH:
        return void serveOperation(path, request, response);
      case LIVENESS_PATH:
        return sendJson(response, 200, { status: 'ok' });
      case '/health/ready':
        return void serveReadiness(response);
      case METRICS_PATH:
        if (parts.metrics === null) return sendRefusal(response, notFound);
        return void sendMetrics(request, response, parts.metrics);
      case '/':
        if (!originPolicy.acceptsHost(request.headers))
          return sendRefusal(response, REFUSALS.wrongHost);
        if (pages.sendBoard(request, response)) return;
        if (!parts.graphiql) return sendRefusal(response, notFound);
        // Relative, because a proxy may serve the gateway under a path.
        return void response.writeHead(307, { location: GRAPHQL_PATH.slice(1) }).end();
      default:
        if (pages.sendAsset(path, request, response)) return;
        return sendRefusal(response, notFound);
    }
  }

  async function serveOperation(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<unknown> {
    if (!originPolicy.acceptsHost(request.headers))
      return refuseOperation(request, response, REFUSALS.wrongHost);
    if (parts.corsOrigins.length > 0) setCorsHeaders(request, response, isListedOrigin);
    if (request.method === 'OPTIONS') return answerPreflight(request, response);
    try {
      if (!(await isAllowed(request)))
        return refuseOperation(request, response, REFUSALS.routerOnly);
    } catch (error) {
      const { message } = parts.maskError(error);
      return refuseOperation(request, response, { status: 503, code: codeOf(error), message });
    }
    // The client disconnected while the router's token was checked.
    if (response.destroyed) return undefined;
    if (path === GRAPHQL_PATH) {
      if (pages.sendGraphiQL(request, response)) return undefined;
      if (directPost.accepts(request)) return directPost.answer(request, response);
      if (directStreams.accepts(request)) return directStreams.answer(request, response);
    }
    return answerByYoga(request, response);
  }

  async function serveReadiness(response: ServerResponse): Promise<void> {
    const readiness = await parts.checkReadiness();
    sendJson(response, readiness.status === 'ready' ? 200 : 503, readiness);
  }

  function refuseOperation(
    request: IncomingMessage,
    response: ServerResponse,
    refusal: RequestRefusal,
  ): void {
    recordRefusal(request, response, refusal.code);
    sendRefusal(response, refusal);
  }

  async function isAllowed({ headers }: IncomingMessage): Promise<boolean> {
    if (!parts.isRouterOnly) return true;
    return parts.routerTrust.isRouter([headers[ROUTER_HEADER]].flat()[0] ?? null);
  }
}
