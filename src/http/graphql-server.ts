import type { GraphQLSchema } from 'graphql';
import {
  type YogaInitialContext,
  type YogaServerInstance,
  createYoga,
  useExecutionCancellation,
} from 'graphql-yoga';
import type { Clock } from '../clock.ts';
import type { Context } from '../graphql/builder.ts';
import type { CostLimits } from '../graphql/cost.ts';
import { createExecutePlanned } from '../graphql/execution/execute.ts';
import { schema } from '../graphql/schema.ts';
import { printSubgraphSdl } from '../graphql/sdl.ts';
import type { Sessions } from '../session/sessions.ts';
import type { Credential } from '../upstream/credentials.ts';
import type { Authenticate } from './access/authenticate.ts';
import type { ClientAddress } from './access/client-address.ts';
import type { OperationGate } from './access/operation-gate.ts';
import type { MaskError } from './access/mask-error.ts';
import { createParseAllowance } from './access/parse-allowance.ts';
import type { RequestSpace } from './access/request-space.ts';
import type { RouterTrust } from './access/router-trust.ts';
import type { Drain } from './transports/drain.ts';
import { useSingleConnection } from './transports/sse-single-connection.ts';
import { createReadBody, useHttpRequests, useNotAcceptable } from './transports/http-request.ts';
import type { ResponseFormats } from './transports/response-results.ts';
import { useResultStreams } from './transports/streaming-responses.ts';
import type { SubscriptionCallbacks } from './transports/callback.ts';
import type { TransportContext } from './transports/transport-context.ts';
import { streamTransportOf } from './transports/accept.ts';
import { type AnswerByYoga, createAnswerByYoga } from './transports/yoga-adapter.ts';
import type { OperationRecords } from './observation/operation-records.ts';
import { type RunKnownQuery, createRunKnownQuery } from './operations/known-queries.ts';
import {
  type KnownSubscriptions,
  createKnownSubscriptions,
} from './operations/known-subscriptions.ts';
import { createOperationContexts } from './operations/operation-context.ts';
import { useOperationRecords } from './plugins/operation-record.ts';
import { createSubscribe, useSharedResults } from './plugins/shared-results.ts';
import { type DocumentLimits, createDocumentCaches, useDocuments } from './plugins/documents.ts';
import { usePlannedExecution } from './plugins/planned-execution.ts';
import { useCompression } from './plugins/compression.ts';
import { useAdmission } from './plugins/admission.ts';
import { useFederatedTracing } from './plugins/federated-tracing.ts';
import { useMaskedRefusals } from './plugins/masked-refusals.ts';
import { useNoIntrospection } from './plugins/no-introspection.ts';
import { createOperationLimit, useOperationLimit } from './plugins/operation-limit.ts';
import { useOmittedRows } from './plugins/omitted-rows.ts';
import { createRefuseByCost, useOperationCost } from './plugins/operation-cost.ts';
import { createLimitTime, useOperationTimeout } from './plugins/operation-timeout.ts';

export interface GraphQLServer {
  yoga: YogaServerInstance<TransportContext, Context>;
  answerByYoga: AnswerByYoga;
  runKnownQuery: RunKnownQuery;
  knownSubscriptions: KnownSubscriptions;
}

export interface GraphQLServerParts {
  path: string;
  sessions: Sessions;
  gate: OperationGate;
  authenticate: Authenticate;
  /** Whether upstream has accepted a credential, or its claims are verified. */
  isProven(credential: Credential): boolean;
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
  responseFormats: ResponseFormats;
  federatedTracing: boolean;
  maxSubscriptionsPerConnection: number;
  /** The maximum number of concurrent operations, over all clients. */
  maxOperations: number;
}

/**
 * GraphQL over HTTP and SSE. The plugins are listed in the order in which they handle a request.
 */
export function createGraphQLServer(parts: GraphQLServerParts): GraphQLServer {
  const { path, gate, maskError, clock, limits, introspection, callbacks } = parts;
  const caches = createDocumentCaches();
  const readBody = createReadBody(parts.maxBodyBytes);
  const executePlanned = createExecutePlanned();
  const subscribe = createSubscribe(executePlanned, clock);
  const refuseByCost = createRefuseByCost(limits, maskError);
  const limitTime = createLimitTime(clock, parts.operationTimeoutMs);
  const limit = createOperationLimit(parts.maxOperations, maskError);
  const createContext = createOperationContexts({ ...parts, printSdl: createSdlPrinter(schema) });
  const yoga = createYoga<TransportContext, Context>({
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
    context: ({
      request,
      header,
      signal,
      admission,
      record,
    }: TransportContext & Partial<YogaInitialContext>) => {
      const context = createContext({
        admission,
        record,
        header: header ?? (name => request?.headers.get(name) ?? null),
      });
      return { ...context, read: { ...context.read, signal: signal ?? request?.signal } };
    },
    plugins: [
      // The single connection mode of GraphQL over SSE. `useResultStreams` implements the distinct
      // connections mode.
      useSingleConnection({ ...parts, path: `${path}/stream`, readBody }),
      useOperationRecords(parts.records, streamTransportOf),
      useHttpRequests(readBody, parts.requestSpace),
      useAdmission(gate, parts.clientAddress),
      useDocuments(schema, limits, caches, {
        isProven: parts.isProven,
        parseAllowance: createParseAllowance(clock),
      }),
      ...(introspection ? [] : [useNoIntrospection()]),
      useMaskedRefusals(maskError),
      useExecutionCancellation(),
      usePlannedExecution(executePlanned),
      ...(parts.federatedTracing ? [useFederatedTracing(parts.routerTrust)] : []),
      useOperationCost(refuseByCost),
      useOperationTimeout(limitTime),
      useOmittedRows(),
      useSharedResults(subscribe),
      // After `useSharedResults`, which replaces the subscribe function that this plugin wraps.
      useOperationLimit(limit),
      useResultStreams(path, parts.responseFormats),
      callbacks.plugin,
      useNotAcceptable(),
      useCompression(),
    ],
  });
  const known = { ...parts, schema, caches, createContext, refuseByCost, limit };
  return {
    yoga,
    answerByYoga: createAnswerByYoga(yoga),
    runKnownQuery: createRunKnownQuery({ ...known, limitTime, executePlanned }),
    knownSubscriptions: createKnownSubscriptions({ ...known, subscribe }),
  };
}

/** Prints the schema for composition once it is first needed. */
function createSdlPrinter(schema: GraphQLSchema): () => string {
  let sdl: string | null = null;
  return () => (sdl ??= printSubgraphSdl(schema));
}
