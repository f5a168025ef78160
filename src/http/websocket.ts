import { setMaxListeners } from 'node:events';
import type { Server } from 'node:http';
import { type ExecutionArgs, GraphQLError } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { type WebSocket, WebSocketServer } from 'ws';
import { GatewayError } from '../errors.ts';
import type { MaskError } from './mask.ts';
import type { GraphQLServer } from './yoga.ts';

export interface WebSocketOptions {
  maskError: MaskError;
  /** Operations that one socket may have under way. */
  maxSubscriptionsPerConnection: number;
}

/** Serves `graphql-transport-ws` at `path`, with the very plugins that HTTP has. */
export function serveWebSocket(
  server: Server,
  path: string,
  yoga: GraphQLServer,
  { maskError, maxSubscriptionsPerConnection }: WebSocketOptions,
): { close(): Promise<void> } {
  const sockets = new WebSocketServer({ server, path, maxPayload: MAX_MESSAGE_BYTES });
  const closings = new WeakMap<WebSocket, AbortSignal>();
  const disposable = useServer(
    {
      execute: (args: ExecutionArgs) => (args as EnvelopedArgs).rootValue.execute(args),
      subscribe: (args: ExecutionArgs) => (args as EnvelopedArgs).rootValue.subscribe(args),
      async onSubscribe({ connectionParams, extra, subscriptions }, _id, params) {
        if (Object.keys(subscriptions).length > maxSubscriptionsPerConnection)
          return [maskError(tooMany(maxSubscriptionsPerConnection))];
        const { parse, validate, contextFactory, schema, execute, subscribe } = yoga.getEnveloped({
          params,
          authorization:
            readAuthorization(connectionParams) ?? extra.request.headers.authorization ?? null,
          signal: closingOf(extra.socket),
        });
        try {
          const document = parse(params.query);
          const errors = validate(schema, document);
          if (errors.length > 0) return errors;
          return {
            schema,
            document,
            operationName: params.operationName,
            variableValues: params.variables,
            contextValue: await contextFactory(),
            rootValue: { execute, subscribe },
          };
        } catch (error) {
          return [
            error instanceof GraphQLError && 'code' in error.extensions ? error : maskError(error),
          ];
        }
      },
    },
    sockets,
    KEEP_ALIVE_MS,
  );
  return { close: async () => disposable.dispose() };

  /** Aborts when the socket closes: one signal for all its operations, which may be very many. */
  function closingOf(socket: WebSocket): AbortSignal {
    const known = closings.get(socket);
    if (known) return known;
    const controller = new AbortController();
    // Every operation under way listens to it: many are no leak.
    setMaxListeners(0, controller.signal);
    socket.once('close', () => controller.abort());
    closings.set(socket, controller.signal);
    return controller.signal;
  }
}

type EnvelopedArgs = ExecutionArgs & {
  rootValue: Pick<ReturnType<GraphQLServer['getEnveloped']>, 'execute' | 'subscribe'>;
};

const KEEP_ALIVE_MS = 12_000;
const MAX_MESSAGE_BYTES = 1_048_576;

function tooMany(most: number): GatewayError {
  return new GatewayError('RATE_LIMITED', `One connection may have ${most} subscriptions at once.`);
}

/** A header's value in `connection_init`, under whichever name clients are used to give it. */
function readAuthorization(params: Readonly<Record<string, unknown>> | undefined): string | null {
  const headers = params?.['headers'];
  for (const bag of [params, headers]) {
    if (typeof bag !== 'object' || bag === null) continue;
    for (const [name, value] of Object.entries(bag))
      if (name.toLowerCase() === 'authorization' && typeof value === 'string') return value;
  }
  return null;
}
