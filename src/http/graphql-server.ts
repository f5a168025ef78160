import { type YogaServerInstance, createYoga, useExecutionCancellation } from 'graphql-yoga';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Context } from '../graphql/builder.ts';
import type { CostLimits } from '../graphql/cost.ts';
import { schema } from '../graphql/schema.ts';
import { printSubgraphSdl } from '../graphql/sdl.ts';
import type { Sessions } from '../session/sessions.ts';
import type { Authenticate } from './access/authenticate.ts';
import type { ClientAddress } from './access/client-address.ts';
import type { OperationGate, Admission } from './access/operation-gate.ts';
import type { MaskError } from './access/mask-error.ts';
import type { RequestSpace } from './access/request-space.ts';
import { ROUTER_HEADER, type RouterTrust } from './access/router-trust.ts';
import type { Drain } from './transports/drain.ts';
import { useSingleConnection } from './transports/sse-single-connection.ts';
import { createReadBody, useHttpRequests, useNotAcceptable } from './transports/http-request.ts';
import { useResultStreams } from './transports/streaming-responses.ts';
import type { SubscriptionCallbacks } from './transports/callback.ts';
import type { TransportContext } from './transports/transport-context.ts';
import { streamTransportOf } from './transports/accept.ts';
import type { OperationRecords } from './observation/operation-records.ts';
import { useOperationRecords } from './plugins/operation-record.ts';
import { useSharedResults } from './plugins/shared-results.ts';
import { type DocumentLimits, createDocumentCaches, useDocuments } from './plugins/documents.ts';
import { usePlannedExecution } from './plugins/planned-execution.ts';
import { useCompression } from './plugins/compression.ts';
import { useAdmission } from './plugins/admission.ts';
import { useFederatedTracing } from './plugins/federated-tracing.ts';
import { useMaskedRefusals } from './plugins/masked-refusals.ts';
import { useNoIntrospection } from './plugins/no-introspection.ts';
import { useOperationLimit } from './plugins/operation-limit.ts';
import { useOmittedRows } from './plugins/omitted-rows.ts';
import { useOperationCost } from './plugins/operation-cost.ts';
import { useOperationTimeout } from './plugins/operation-timeout.ts';

export type GraphQLServer = YogaServerInstance<TransportContext, Context>;

export interface GraphQLServerParts {
  path: string;
  sessions: Sessions;
  gate: OperationGate;
  authenticate: Authenticate;
  clientAddress: ClientAddress;
  maskError: MaskError;
  records: OperationRecords;
  drain: Drain;
  clock: Clock;
  introspection: boolean;
  limits: CostLimits & DocumentLimits;
  /** The maximum size of a request body in bytes, both as sent and decoded. */
  maxBodyBytes: number;
  /** Milliseconds that a query or mutation may take. */
  operationTimeoutMs: number;
  requestSpace: RequestSpace;
  routerTrust: RouterTrust;
  callbacks: SubscriptionCallbacks;
  federatedTracing: boolean;
  maxSubscriptionsPerConnection: number;
  /** The maximum number of concurrent operations, over all clients. */
  maxOperations: number;
}

/** GraphQL over HTTP and SSE. The plugins are listed in the order in which they handle a request. */
export function createGraphQLServer(parts: GraphQLServerParts): GraphQLServer {
  const { path, sessions, gate, maskError, drain, clock, limits } = parts;
  const { introspection, routerTrust, callbacks } = parts;
  const caches = createDocumentCaches();
  const readBody = createReadBody(parts.maxBodyBytes, parts.requestSpace);
  let sdl: string | null = null;
  return createYoga<TransportContext, Context>({
    schema,
    graphqlEndpoint: path,
    // `maskError` masks and logs all errors.
    logging: false,
    maskedErrors: { maskError },
    landingPage: false,
    graphiql: false,
    multipart: false,
    cors: false,
    // `useHttpRequests` limits the body, both as sent and decoded.
    maxRequestBodySize: false,
    parserAndValidationCache: caches,
    context: createContext,
    plugins: [
      // The single connection mode of GraphQL over SSE. `useResultStreams` implements the distinct
      // connections mode.
      useSingleConnection({ ...parts, path: `${path}/stream`, readBody }),
      useOperationRecords(parts.records, streamTransportOf),
      useHttpRequests(readBody),
      useAdmission(gate, parts.clientAddress),
      useDocuments(schema, limits, caches),
      ...(introspection ? [] : [useNoIntrospection()]),
      useMaskedRefusals(maskError),
      useExecutionCancellation(),
      usePlannedExecution(),
      ...(parts.federatedTracing ? [useFederatedTracing(routerTrust)] : []),
      useOperationCost(limits, maskError),
      useOperationTimeout(clock, parts.operationTimeoutMs),
      useOmittedRows(),
      useSharedResults(clock),
      // After `useSharedResults`, which replaces the subscribe function that this plugin wraps.
      useOperationLimit(parts.maxOperations, maskError),
      useResultStreams(path, drain, maskError),
      callbacks.plugin,
      useNotAcceptable(),
      useCompression(),
    ],
  });

  async function createContext({
    request,
    header = name => request?.headers.get(name) ?? null,
    signal,
    admission,
    record,
  }: TransportContext & { request?: Request }): Promise<Context> {
    const trust = introspection
      ? { isTrusted: true }
      : await routerTrust.isRouter(header(ROUTER_HEADER)).then(
          isTrusted => ({ isTrusted }),
          (error: unknown) => ({ error }),
        );
    return {
      caller: createCaller(admission),
      subgraphSdl() {
        if ('error' in trust) throw trust.error;
        // Printing takes longer than the rest of the start, and only routers ask for it.
        return trust.isTrusted ? (sdl ??= printSubgraphSdl(schema)) : null;
      },
      now: () => clock.now(),
      read: {
        signal: signal ?? request?.signal,
        caller: admission && 'credential' in admission ? admission.credential.caller : undefined,
        usages: record && [record.usage],
        isFresh: /\bno-cache\b/i.test(header('cache-control') ?? ''),
      },
      aggregations: new Map(),
      omitted: [],
    };
  }

  function createCaller(admission: Admission | undefined): Context['caller'] {
    const credential = admission && 'credential' in admission ? admission.credential : null;
    return {
      get session() {
        // Operations that need no credential, such as introspection, open no session.
        if (credential === null)
          throw new GatewayError('UNAUTHENTICATED', 'The operation needs a bearer token.');
        return sessions.of(credential);
      },
      whileValid(stream) {
        if (credential === null || credential.expiresAt === null) return stream;
        const expired = new GatewayError('UNAUTHENTICATED', 'The bearer token has expired.');
        return stream.whenClosed(
          clock.after(credential.expiresAt - clock.now(), () => stream.end(expired)),
        );
      },
    };
  }
}
