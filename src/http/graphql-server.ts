import type { IncomingMessage } from 'node:http';
import { renderGraphiQL } from '@graphql-yoga/render-graphiql';
import { type YogaServerInstance, createYoga, useExecutionCancellation } from 'graphql-yoga';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Context } from '../graphql/builder.ts';
import { schema } from '../graphql/schema.ts';
import { printSubgraphSdl } from '../graphql/sdl.ts';
import type { Credential } from '../upstream/credentials.ts';
import type { Sessions } from '../session/sessions.ts';
import type { Authenticate } from './access/authenticate.ts';
import type { ClientAddress } from './access/client-address.ts';
import type { MaskError } from './access/mask-error.ts';
import { ROUTER_HEADER, type RouterTrust } from './access/router-trust.ts';
import { useSingleConnection } from './transports/sse-single-connection.ts';
import { useResultStreams } from './transports/streaming-responses.ts';
import type { SubscriptionCallbacks } from './transports/callback.ts';
import type { TransportContext } from './transports/transport-context.ts';
import { useSharedResults } from './plugins/shared-results.ts';
import { useFederatedTracing } from './plugins/federated-tracing.ts';
import { useJsonParameters } from './plugins/json-parameters.ts';
import { useMaskedRefusals } from './plugins/masked-refusals.ts';
import { useNoForms } from './plugins/no-forms.ts';
import { useNoIntrospection } from './plugins/no-introspection.ts';
import { useOperationLimit } from './plugins/operation-limit.ts';
import { useOmittedRows } from './plugins/omitted-rows.ts';
import { useSubscriptionCost } from './plugins/subscription-cost.ts';

export type GraphQLServer = YogaServerInstance<TransportContext, Context>;

export interface GraphQLServerParts {
  path: string;
  sessions: Sessions;
  authenticate: Authenticate;
  clientAddress: ClientAddress;
  maskError: MaskError;
  clock: Clock;
  corsOrigins: readonly string[];
  graphiql: boolean;
  introspection: boolean;
  limits: Context['limits'];
  routerTrust: RouterTrust;
  callbacks: SubscriptionCallbacks;
  federatedTracing: boolean;
  maxSubscriptionsPerConnection: number;
  /** Operations under way in all. */
  maxOperations: number;
}

/** GraphQL over HTTP and SSE; its plugins are in the order in which a request meets them. */
export function createGraphQLServer(parts: GraphQLServerParts): GraphQLServer {
  const { path, sessions, authenticate, maskError, clock, corsOrigins, limits } = parts;
  const { graphiql, introspection, routerTrust, callbacks } = parts;
  const sdl = printSubgraphSdl(schema);
  return createYoga<TransportContext, Context>({
    schema,
    graphqlEndpoint: path,
    // Errors are masked and logged in one place, `mask`.
    logging: false,
    maskedErrors: { maskError },
    landingPage: false,
    graphiql: graphiql ? { title: 'Task status', defaultQuery: DEFAULT_QUERY } : false,
    renderGraphiQL: options => renderGraphiQL(options),
    multipart: false,
    cors:
      corsOrigins.length > 0
        ? { origin: [...corsOrigins], methods: ['POST', 'GET', 'PUT', 'DELETE', 'OPTIONS'] }
        : false,
    context: createContext,
    plugins: [
      // Distinct connections are Yoga's own; this is the protocol's other mode, one for all operations.
      useSingleConnection({ ...parts, path: `${path}/stream` }),
      useNoForms(),
      useJsonParameters(),
      ...(introspection ? [] : [useNoIntrospection()]),
      useMaskedRefusals(maskError),
      useExecutionCancellation(),
      ...(parts.federatedTracing ? [useFederatedTracing(routerTrust)] : []),
      useSubscriptionCost(maskError),
      useOmittedRows(),
      useSharedResults(clock),
      // After what replaces the functions that it counts.
      useOperationLimit(parts.maxOperations, maskError),
      useResultStreams(),
      callbacks.plugin,
    ],
  });

  async function createContext({
    request,
    header = name => request?.headers.get(name) ?? null,
    signal,
    req,
    address = req === undefined ? '' : parts.clientAddress.addressOf(req),
  }: TransportContext & { request?: Request; req?: IncomingMessage }): Promise<Context> {
    const trust = introspection
      ? { isTrusted: true }
      : await routerTrust.recognises(header(ROUTER_HEADER)).then(
          isTrusted => ({ isTrusted }),
          (error: unknown) => ({ error }),
        );
    const credential = await authenticate(header('authorization'), address).catch(
      (error: unknown) => ({ error }),
    );
    return {
      caller: createCaller(credential),
      subgraphSdl() {
        if ('error' in trust) throw trust.error;
        return trust.isTrusted ? sdl : null;
      },
      limits,
      now: () => clock.now(),
      read: {
        signal: signal ?? request?.signal,
        caller: 'error' in credential ? undefined : credential.caller,
        isFresh: /\bno-cache\b/i.test(header('cache-control') ?? ''),
      },
      omitted: [],
    };
  }

  /** What needs no credential, such as introspection, is served without one. */
  function createCaller(credential: Credential | { error: unknown }): Context['caller'] {
    return {
      get session() {
        if ('error' in credential) throw credential.error;
        return sessions.of(credential);
      },
      whileValid(stream) {
        if ('error' in credential || credential.expiresAt === null) return stream;
        const expired = new GatewayError('UNAUTHENTICATED', 'The bearer token has expired.');
        return stream.whenClosed(
          clock.after(credential.expiresAt - clock.now(), () => stream.end(expired)),
        );
      },
    };
  }
}

const DEFAULT_QUERY = `query RunningTasks {
  taskStatuses(filter: { completionStatus: { isNull: true } }, first: 10) {
    nodes {
      id
      uniqueName
      state
      effectivePercentComplete
      target {
        name
      }
    }
  }
}
`;
