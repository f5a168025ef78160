import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ExecutionResult } from 'graphql';
import type { YogaServerInstance } from 'graphql-yoga';
import type { KeptResponse } from '../../session/memory-entry.ts';
import type { Context } from '../../graphql/builder.ts';
import type { ClientAddress } from '../access/client-address.ts';
import type { Admission, OperationGate } from '../access/operation-gate.ts';
import type { RequestShare, RequestSpace } from '../access/request-space.ts';
import type { MaskError } from '../access/mask-error.ts';
import type { QueryClient, RunKnownQuery } from '../operations/known-queries.ts';
import type { KeptResponses, RequestedOperation } from '../operations/kept-responses.ts';
import { isFresh } from '../operations/operation-context.ts';
import type { ResponseUnderWay, ResponsesUnderWay } from '../operations/responses-under-way.ts';
import type { OperationParams } from '../access/operation-params.ts';
import type { OperationRecord, OperationRecords } from '../observation/operation-records.ts';
import { REQUEST_ID_HEADER, requestIdOf } from '../observation/request-id.ts';
import { parseOperation, toText } from './http-request.ts';
import { isPlainPost, readBody } from './node-body.ts';
import { type MediaType, mediaTypeFor, sendKept, sendResult } from './single-results.ts';
import type { TransportContext } from './transport-context.ts';
import type { AnswerByYoga } from './yoga-adapter.ts';

/**
 * Answers POST requests for a single JSON result without Yoga's Fetch API layer, whose requests,
 * responses and streams take longer than the operation itself.
 *
 * A response that was sent before and is still fresh is sent again. Queries that are the same and
 * under way at the same time share a response. A query whose document is known is executed without
 * Yoga. Any other operation goes through Yoga's own handler with all plugins; only the hooks that
 * get or give a `Response` do not run: `onRequest`, `onRequestParse`, `onResultProcess` and
 * `onResponse`. What needs those is left to Yoga.
 */
export interface DirectPost {
  /** False, before the body is read, for what Yoga is to answer. */
  accepts(request: IncomingMessage): boolean;
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export interface DirectPostParts {
  yoga: YogaServerInstance<TransportContext, Context>;
  answerByYoga: AnswerByYoga;
  runKnownQuery: RunKnownQuery;
  keptResponses: KeptResponses;
  responsesUnderWay: ResponsesUnderWay;
  gate: OperationGate;
  clientAddress: ClientAddress;
  requestSpace: RequestSpace;
  maskError: MaskError;
  records: OperationRecords;
  maxBodyBytes: number;
}

const NO_ERRORS = {};
// A result that is a stream needs Yoga, and so does a document that is not sent, which may be a
// subscription.
const MAY_STREAM = /\bsubscription\b/;

export function createDirectPost(parts: DirectPostParts): DirectPost {
  const { yoga, answerByYoga, runKnownQuery, keptResponses, responsesUnderWay, gate } = parts;
  const { clientAddress, maskError, maxBodyBytes } = parts;
  return {
    accepts: request =>
      isPlainPost(request) &&
      // A trace is added by hooks that do not run here.
      request.headers['apollo-federation-include-trace'] === undefined &&
      mediaTypeFor(request.headers.accept) !== null,
    async answer(request, response) {
      const mediaType = mediaTypeFor(request.headers.accept) ?? 'application/json';
      const client = new HttpClient(request, response, mediaType, parts.records);
      const { record, header } = client;
      try {
        // Before the body is read, which would be work for a caller without a credential.
        const admission = await gate.identify(header, clientAddress.addressOf(request));
        // The client disconnected while its token was checked.
        if (client.hasLeft) return record.leave();
        const share = parts.requestSpace.open();
        response.once('close', () => share.close());
        const body = toText(await readBody(request, maxBodyBytes, share));
        const operation = { admission, body, isFresh: isFresh(header('cache-control')) };
        const kept = keptResponses.find(operation);
        if (kept !== undefined) {
          record.identifyAs(kept.operation);
          return await client.sendKept(kept);
        }
        const underWay = responsesUnderWay.find(operation);
        if (underWay !== undefined) {
          const shared = await underWay.share(client);
          if (client.hasLeft) return record.leave();
          if (shared !== null) return await client.sendKept(shared);
        }
        await execute(operation, client, share);
      } catch (error) {
        if (client.hasLeft) record.leave();
        else await client.send({ errors: [maskError(error)] });
      }
    },
  };

  /** Executes the operation and sends its result. */
  async function execute(
    operation: RequestedOperation,
    client: HttpClient,
    share: RequestShare,
  ): Promise<void> {
    const { admission, body } = operation;
    const params = parseOperation(body);
    const known = runKnownQuery(gate.admit(params, admission), client);
    // A hash is registered each time that it is sent with its document.
    const mayKeep = !params.query || params.extensions?.['persistedQuery'] === undefined;
    if (known === null) {
      const { request, response, record } = client;
      if (!params.query || MAY_STREAM.test(params.query))
        return answerByYoga(request, response, { parsed: params, record, share });
      const result = await executeByYoga(params, admission, client);
      return mayKeep ? sendAndKeep(result, operation, client) : client.send(result);
    }
    if (!mayKeep) return client.send(await known);
    const underWay = responsesUnderWay.open(operation, client.record);
    try {
      await sendAndKeep(await known, operation, client, underWay);
    } finally {
      underWay?.settle(null);
    }
  }

  /** Sends a result, also to those who wait for it, and keeps it if it may be kept. */
  async function sendAndKeep(
    result: ExecutionResult,
    operation: RequestedOperation,
    client: HttpClient,
    underWay: ResponseUnderWay | null = null,
  ): Promise<void> {
    if (client.hasLeft || result.errors !== undefined) return client.send(result);
    client.record.end(result);
    const kept = keptResponses.keep(operation, JSON.stringify(result), client.record);
    underWay?.settle(kept);
    return client.sendKept(kept);
  }

  async function executeByYoga(
    params: OperationParams,
    admission: Admission,
    { request: req, response: res, record }: HttpClient,
  ): Promise<ExecutionResult> {
    // What plugins use of a Request; the types want all of it.
    const request = new DirectRequest(req, res) as unknown as Request;
    const context = { req, res, request, admission, record } as unknown as Parameters<
      typeof yoga.getResultForParams
    >[1];
    return (await yoga.getResultForParams({ params, request }, context)) as ExecutionResult;
  }
}

/** The client of a request, which has one response. */
class HttpClient implements QueryClient {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: OperationRecord;
  readonly header: QueryClient['header'];
  readonly #mediaType: MediaType;

  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    mediaType: MediaType,
    records: OperationRecords,
  ) {
    this.request = request;
    this.response = response;
    this.#mediaType = mediaType;
    this.header = name => request.headers[name]?.toString() ?? null;
    this.record = records.begin({
      transport: 'http',
      requestId: response.getHeader(REQUEST_ID_HEADER)?.toString() ?? requestIdOf(this.header),
      traceparent: this.header('traceparent'),
    });
  }

  get hasLeft(): boolean {
    return this.response.destroyed;
  }

  onLeave(leave: () => void): void {
    this.response.once('close', () => {
      if (!this.response.writableFinished) leave();
    });
  }

  async send(result: ExecutionResult): Promise<void> {
    if (this.hasLeft) return this.record.leave();
    this.record.end(result);
    return sendResult(this.request, this.response, result, this.#mediaType);
  }

  /** Sends a response without errors. */
  async sendKept(kept: KeptResponse): Promise<void> {
    this.record.end(NO_ERRORS);
    return sendKept(this.request, this.response, kept, this.#mediaType);
  }
}

/** The part of a Request that hooks for operations read. */
class DirectRequest {
  readonly method = 'POST';
  readonly url: string;
  readonly headers: { get(name: string): string | null };
  readonly #response: ServerResponse;
  #controller: AbortController | undefined;

  constructor({ headers, url = '' }: IncomingMessage, response: ServerResponse) {
    this.url = `http://${headers.host}${url}`;
    this.headers = { get: name => headers[name.toLowerCase()]?.toString() ?? null };
    this.#response = response;
  }

  /** Aborts when the client disconnects before it is answered. */
  get signal(): AbortSignal {
    if (this.#controller !== undefined) return this.#controller.signal;
    const controller = new AbortController();
    this.#controller = controller;
    const leave = () => {
      if (!this.#response.writableFinished) controller.abort();
    };
    if (this.#response.destroyed) leave();
    else this.#response.once('close', leave);
    return controller.signal;
  }
}
