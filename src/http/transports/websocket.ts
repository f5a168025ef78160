import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ExecutionArgs, ExecutionResult, GraphQLError } from 'graphql';
import { type PromiseOrValue, isAsyncIterable } from 'graphql-yoga';
import { handleProtocols, makeServer } from 'graphql-ws';
import { WebSocketServer } from 'ws';
import { type ErrorCode, GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import type { ClientAddress } from '../access/client-address.ts';
import type { ConnectionLimits } from '../access/connection-limits.ts';
import { refusalOf, refuseRaw } from '../access/connection-refusal.ts';
import type { OperationGate } from '../access/operation-gate.ts';
import type { OriginPolicy } from '../access/origin-policy.ts';
import { type MaskError, codeOf } from '../access/mask-error.ts';
import type { Drain } from './drain.ts';
import { ROUTER_HEADER, type RouterTrust } from '../access/router-trust.ts';
import { Heartbeats } from './heartbeats.ts';
import { type SocketBounds, SocketConnection } from './websocket-connection.ts';
import { TRY_AGAIN_LATER } from './websocket-codes.ts';
import { ConnectedSocket } from './websocket-events.ts';
import type { OperationRecords } from '../observation/operation-records.ts';
import type { DirectContext } from '../plugins/direct-results.ts';
import type { GetEnveloped, TransportContext } from './transport-context.ts';
import { type ReadHeader, headerReader, startOf } from './websocket-headers.ts';
import { IteratedResults } from './websocket-results.ts';
import { createSocketSubscriptions } from './websocket-subscriptions.ts';
import type { KnownSubscriptions } from '../operations/known-subscriptions.ts';

export interface WebSocketOptions extends Omit<SocketBounds, 'messageBurst'> {
  maskError: MaskError;
  drain: Drain;
  /** The maximum number of concurrent operations of one socket. */
  maxSubscriptionsPerConnection: number;
  routerTrust: RouterTrust;
  /** Whether only the router of a supergraph may connect. */
  isRouterOnly: boolean;
  originPolicy: OriginPolicy;
  gate: OperationGate;
  knownSubscriptions: KnownSubscriptions;
  records: OperationRecords;
  /** The maximum size of a message, in bytes. */
  maxBodyBytes: number;
  clientAddress: ClientAddress;
  connectionLimits: ConnectionLimits;
}

/**
 * Takes over a connection with a WebSocket upgrade request. `head` holds the first bytes after the
 * request.
 */
export type ServeUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** Serves `graphql-transport-ws` at `path`, with the same plugins as HTTP. */
export function createWebSocketServer(
  path: string,
  getEnveloped: GetEnveloped,
  {
    maskError,
    drain,
    maxSubscriptionsPerConnection,
    routerTrust,
    isRouterOnly,
    originPolicy,
    gate,
    knownSubscriptions,
    records,
    maxBodyBytes,
    clientAddress,
    connectionLimits,
    ...bounds
  }: WebSocketOptions,
): { upgrade: ServeUpgrade; terminate(): void } {
  const sockets = new WebSocketServer<typeof ConnectedSocket>({
    noServer: true,
    WebSocket: ConnectedSocket,
    maxPayload: maxBodyBytes,
    handleProtocols,
    // `SocketConnection` counts pings and answers them.
    autoPong: false,
    verifyClient({ req }, decide) {
      const refusal = connectionLimits.admit(req, req.socket);
      if (refusal === null) return decide(true);
      refuseConnection(name => [req.headers[name]].flat()[0] ?? null, refusal.code);
      return decide(false, refusal.status, refusal.body, refusal.headers);
    },
  });
  sockets.on('wsClientError', ({ message }: Error, socket) =>
    refuseRaw(socket, refusalOf(400, 'BAD_USER_INPUT', `${message}.`)),
  );
  const protocol = makeServer<Record<string, unknown>, SocketConnection>({
    execute: guarded(args => args.rootValue.execute(args)),
    subscribe: guarded(args => args.rootValue.subscribe(args)),
    onOperation({ extra }, id, _payload, { contextValue }, result) {
      extra.started();
      const { direct } = contextValue as DirectContext;
      if (direct === undefined || !isAsyncIterable(result)) return result;
      return new IteratedResults(id, direct, extra.output, maskError);
    },
    // Errors of graphql-ws itself have no code.
    onError: (_context, _id, _payload, errors) => errors.map(error => maskError(error).toJSON()),
    // Returning false closes the socket with 4403: Forbidden.
    async onConnect(context) {
      const { connectionParams, extra } = context;
      const headers = extra.connect(context);
      const header = headerReader(connectionParams, headers);
      if (!originPolicy.acceptsHost(headers) || !originPolicy.acceptsOrigin(headers))
        return refuseConnection(header, 'FORBIDDEN');
      extra.header = header;
      // Keep only its headers while the socket is open.
      Object.assign(context, { connectionParams: undefined });
      if (!isRouterOnly) return true;
      try {
        const isRouter = await routerTrust.isRouter(header(ROUTER_HEADER));
        return isRouter || refuseConnection(header, 'FORBIDDEN');
      } catch (error) {
        // Not 4403: the router cannot be verified at the moment.
        extra.socket.close(TRY_AGAIN_LATER, maskError(error).message);
        return refuseConnection(header, codeOf(error));
      }
    },
    async onSubscribe({ extra, subscriptions }, _id, sent) {
      const { header, address } = extra;
      const record = records.begin(startOf(header));
      const refuse = (errors: readonly GraphQLError[]) => {
        record.end({ errors });
        return errors;
      };
      if (Object.keys(subscriptions).length > maxSubscriptionsPerConnection)
        return refuse([maskError(tooMany(maxSubscriptionsPerConnection))]);
      try {
        const { admission, params } = gate.admit(sent, await gate.identify(header, address));
        const { parse, validate, contextFactory, schema, execute, subscribe } = getEnveloped({
          params,
          header,
          admission,
          record,
          signal: extra.signal(),
        });
        const document = parse(params.query);
        const errors = validate(schema, document);
        if (errors.length > 0) return refuse(errors);
        return {
          schema,
          document,
          operationName: params.operationName,
          variableValues: params.variables,
          contextValue: await contextFactory(),
          rootValue: { execute, subscribe },
        };
      } catch (error) {
        return refuse([maskError(error)]);
      }
    },
  });
  const connectionParts = {
    ...bounds,
    // A client may start and stop all its operations in one burst.
    messageBurst: Math.max(MIN_MESSAGE_BURST, 2 * maxSubscriptionsPerConnection),
    maskError,
    drain,
    keepAlive: new Heartbeats(KEEP_ALIVE_MS),
    start: createSocketSubscriptions({
      knownSubscriptions,
      gate,
      records,
      maskError,
      maxSubscriptionsPerConnection,
    }),
  };
  sockets.on('connection', (socket: ConnectedSocket, request: IncomingMessage) => {
    const address = clientAddress.addressOf(request);
    void new SocketConnection(socket, request, address, protocol.opened, connectionParts);
  });
  return {
    upgrade(request, socket, head) {
      if (request.url?.split('?', 1)[0] !== path)
        return refuseRaw(socket, refusalOf(404, 'NOT_FOUND', `WebSockets are served at ${path}.`));
      sockets.handleUpgrade(request, socket, head, opened =>
        sockets.emit('connection', opened, request),
      );
    },
    terminate() {
      for (const socket of sockets.clients) socket.terminate();
    },
  };

  function refuseConnection(header: ReadHeader, code: ErrorCode): false {
    records.refuse(startOf(header), code);
    return false;
  }

  /**
   * Converts a thrown error into an error of its operation. graphql-ws would close the whole
   * socket.
   */
  function guarded(run: (args: EnvelopedArgs) => PromiseOrValue<Result>) {
    return async (args: ExecutionArgs) => {
      const { read, record } = args.contextValue as Context & TransportContext;
      try {
        const result = await run(args as EnvelopedArgs);
        if (read.signal?.aborted) record?.leave();
        else if (!isAsyncIterable(result)) record?.end(result);
        return result;
      } catch (error) {
        // An aborted operation has no client. Do not log it as a bug.
        if (read.signal?.aborted) {
          record?.leave();
          return { errors: [] };
        }
        const errors = [maskError(error)];
        record?.end({ errors });
        return { errors };
      }
    };
  }
}

type Result = ExecutionResult | AsyncGenerator<ExecutionResult> | AsyncIterable<ExecutionResult>;

type EnvelopedArgs = ExecutionArgs & {
  rootValue: Pick<ReturnType<GetEnveloped>, 'execute' | 'subscribe'>;
};

const MIN_MESSAGE_BURST = 1_000;
/** How often a connection is pinged. */
const KEEP_ALIVE_MS = 12_000;

function tooMany(most: number): GatewayError {
  return new GatewayError(
    'RATE_LIMITED',
    `A connection may have at most ${most} concurrent subscriptions.`,
  );
}
