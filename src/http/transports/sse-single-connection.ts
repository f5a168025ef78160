import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  type ExecutionResult,
  type GraphQLError,
  OperationTypeNode,
  getOperationAST,
} from 'graphql';
import { type Plugin, type YogaServerInstance, isAsyncIterable } from 'graphql-yoga';
import { GatewayError } from '../../errors.ts';
import type { Signal } from '../../signal.ts';
import type { EventStream, StreamOperation } from './event-stream.ts';
import type { Authenticate } from '../access/authenticate.ts';
import type { ClientAddress } from '../access/client-address.ts';
import type { OperationGate } from '../access/operation-gate.ts';
import type { OperationParams } from '../access/operation-params.ts';
import { httpOf } from '../access/refusal.ts';
import type { RequestSpace } from '../access/request-space.ts';
import type { MaskError } from '../access/mask-error.ts';
import type { OperationRecord, OperationRecords } from '../observation/operation-records.ts';
import { REQUEST_ID_HEADER, requestIdOf } from '../observation/request-id.ts';
import { type Drain, shuttingDown } from './drain.ts';
import type { ReadBody } from './http-request.ts';
import { streamResponse } from './stream-response.ts';
import { type StreamOwner, createStreamReservations } from './stream-reservations.ts';

export interface SingleConnectionOptions {
  /** The path of the endpoint. */
  path: string;
  drain: Drain;
  maskError: MaskError;
  authenticate: Authenticate;
  clientAddress: ClientAddress;
  /** The maximum number of concurrent operations of one stream. */
  maxSubscriptionsPerConnection: number;
  gate: OperationGate;
  records: OperationRecords;
  readBody: ReadBody;
  requestSpace: RequestSpace;
}

interface NodeContext {
  req: IncomingMessage;
  res: ServerResponse;
}

/** A request to the endpoint. */
interface StreamRequest {
  request: Request;
  url: URL;
  owner: StreamOwner;
  response: ServerResponse;
  record: OperationRecord;
}

interface ExecuteOptions {
  request: Request;
  sent: OperationParams;
  address: string;
  record: OperationRecord;
  /** Aborts when the client has stopped the operation, or left. */
  signal: Signal;
}

/** An error response: its status and the errors. */
class Refusal extends Error {
  readonly status: number;
  readonly errors: readonly unknown[];
  readonly headers: Record<string, string>;

  constructor(status: number, errors: readonly unknown[], headers: Record<string, string> = {}) {
    super('refused');
    this.status = status;
    this.errors = errors;
    this.headers = headers;
  }
}

const TOKEN_HEADER = 'x-graphql-event-stream-token';
const STATUSES: Readonly<Record<string, number>> = {
  UNAUTHENTICATED: 401,
  RATE_LIMITED: 429,
  UPSTREAM_UNAVAILABLE: 503,
};

/**
 * The single connection mode of GraphQL over SSE. A client reserves a stream (PUT) and opens it
 * (GET). It starts operations on the stream (POST), each with its own id, and stops them (DELETE).
 *
 * The protocol's own library, graphql-sse, is not used: its queue of a stream grows without limit
 * while the reader is slow, and it keeps streams that are reserved and never opened.
 */
export function useSingleConnection(options: SingleConnectionOptions): Plugin {
  const { path, maskError, drain, maxSubscriptionsPerConnection, gate, records } = options;
  const { readBody, requestSpace } = options;
  const reservations = createStreamReservations();
  let server: Pick<YogaServerInstance<object, object>, 'getEnveloped'>;

  return {
    onYogaInit: ({ yoga }) => void (server = yoga),
    async onRequest({ request, url, serverContext, fetchAPI: { Response }, endResponse }) {
      if (url.pathname !== path || request.method === 'OPTIONS') return;
      const { req, res } = serverContext as unknown as NodeContext;
      const header = (name: string) => request.headers.get(name);
      // It ends with an operation, or with a refusal.
      const record = records.begin({
        transport: 'single-connection',
        requestId: res.getHeader(REQUEST_ID_HEADER)?.toString() ?? requestIdOf(header),
        traceparent: header('traceparent'),
      });
      try {
        const owner = await ownerOf(req);
        endResponse(await respond({ request, url, owner, response: res, record }, Response));
      } catch (error) {
        const { status, errors, headers } =
          error instanceof Refusal ? error : toRefusal(error, 500);
        if (res.destroyed) record.leave();
        else record.end({ errors: errors as GraphQLError[] });
        endResponse(Response.json({ errors }, { status, headers }));
      }
    },
  };

  async function respond(asked: StreamRequest, ResponseType: typeof Response): Promise<Response> {
    const { request, url, owner } = asked;
    if (request.method === 'PUT')
      return new ResponseType(reservations.reserve(owner), { status: 201 });
    const token = request.headers.get(TOKEN_HEADER) ?? url.searchParams.get('token') ?? '';
    const reserved = reservations.find(token);
    if (reserved === undefined)
      throw refuse(404, 'NOT_FOUND', 'There is no stream with this token.');
    if (reserved.owner.key !== owner.key)
      throw refuse(403, 'FORBIDDEN', 'The stream was reserved with another credential.');
    const { stream } = reserved;
    switch (request.method) {
      case 'GET':
        return open(stream, ResponseType);
      case 'POST':
        await start(stream, asked);
        return new ResponseType(null, { status: 202 });
      case 'DELETE':
        stream.stop(url.searchParams.get('operationId') ?? '');
        return new ResponseType(null, { status: 200 });
      default:
        throw refuse(
          405,
          'BAD_USER_INPUT',
          'A stream accepts only PUT, GET, POST and DELETE requests.',
        );
    }
  }

  /** Throws UNAUTHENTICATED where a credential is needed and missing. */
  async function ownerOf(request: IncomingMessage): Promise<StreamOwner> {
    const { authorization = null } = request.headers;
    const address = options.clientAddress.addressOf(request);
    const { key, caller } = await options.authenticate(authorization, address);
    // If the credential names no caller, use the Authorization header to distinguish callers.
    const name = caller === '' && authorization !== null ? hash(authorization) : caller;
    return { key: JSON.stringify([key, name]), address };
  }

  function open(stream: EventStream, ResponseType: typeof Response): Response {
    if (stream.isOpen) throw refuse(409, 'BAD_USER_INPUT', 'The stream is already open.');
    stream.open();
    const interruptible = {
      interrupt: () => stream.interrupt({ errors: [maskError(shuttingDown())] }),
    };
    drain.add(interruptible);
    stream.once('close', () => drain.remove(interruptible));
    return streamResponse(stream, 'text/event-stream', ResponseType);
  }

  async function start(
    stream: EventStream,
    { request, owner: { address }, response, record }: StreamRequest,
  ): Promise<void> {
    let operation: StreamOperation | null = null;
    const share = requestSpace.open();
    // What the body became is held by the operation, which may last longer than this request.
    response.once('close', () => {
      if (operation === null || operation.signal.aborted) share.close();
      else operation.signal.addEventListener('abort', () => share.close());
    });
    const params = await readBody(request, share);
    // The client disconnected while the operation was read.
    if (stream.destroyed || stream.isOver)
      throw refuse(404, 'NOT_FOUND', 'There is no stream with this token.');
    const id = params.extensions?.operationId;
    if (typeof id !== 'string' || id === '')
      throw refuse(400, 'BAD_USER_INPUT', '`extensions.operationId` is missing.');
    if (stream.has(id))
      throw refuse(409, 'BAD_USER_INPUT', 'The stream already has an operation with this id.');
    if (stream.size >= maxSubscriptionsPerConnection)
      throw refuse(
        429,
        'RATE_LIMITED',
        `A connection may have at most ${maxSubscriptionsPerConnection} concurrent subscriptions.`,
      );
    operation = stream.reserve(id);
    try {
      const { signal } = operation;
      const result = await execute({ request, sent: params, address, record, signal });
      if (signal.aborted) record.leave();
      else if (!isAsyncIterable(result)) record.end(result);
      stream.start(operation, result);
    } catch (error) {
      stream.release(operation);
      throw error instanceof Refusal ? error : toRefusal(error, 400);
    }
  }

  async function execute({
    request,
    sent,
    address,
    record,
    signal,
  }: ExecuteOptions): Promise<ExecutionResult | AsyncIterable<ExecutionResult>> {
    const identified = await gate.identify(name => request.headers.get(name), address);
    const { admission, params } = gate.admit(sent, identified);
    const enveloped = server.getEnveloped({ request, params, admission, record, signal });
    const document = enveloped.parse(params.query);
    const errors = enveloped.validate(enveloped.schema, document);
    if (errors.length > 0) throw new Refusal(400, errors);
    const operation = getOperationAST(document, params.operationName);
    if (!operation)
      throw refuse(
        400,
        'BAD_USER_INPUT',
        'The document has several operations or none: `operationName` must name one of them.',
      );
    const args = {
      schema: enveloped.schema,
      document,
      contextValue: await enveloped.contextFactory(),
      variableValues: params.variables,
      operationName: params.operationName,
    };
    const result = (await (operation.operation === OperationTypeNode.SUBSCRIPTION
      ? enveloped.subscribe(args)
      : enveloped.execute(args))) as ExecutionResult | AsyncIterable<ExecutionResult>;
    // A subscription that could not start is refused in the response to its POST.
    if (!isAsyncIterable(result) && result.data === undefined)
      throw new Refusal(400, result.errors ?? []);
    return result;
  }

  function toRefusal(error: unknown, otherwise: number): Refusal {
    const masked = maskError(error);
    const known = STATUSES[String(masked.extensions['code'])] ?? otherwise;
    const { status = known, headers } = httpOf(error) ?? {};
    return new Refusal(status, [masked], headers);
  }

  function refuse(status: number, code: GatewayError['code'], message: string): Refusal {
    return new Refusal(status, [maskError(new GatewayError(code, message))]);
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
