import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ExecutionResult } from 'graphql';
import { type YogaServerInstance, processRegularResult } from 'graphql-yoga';
import type { KeptResponse } from '../../session/memory.ts';
import type { Context } from '../../graphql/builder.ts';
import { encodeBody } from '../access/content-coding.ts';
import type { ClientAddress } from '../access/client-address.ts';
import type { Admission, OperationGate } from '../access/operation-gate.ts';
import type { RequestSpace } from '../access/request-space.ts';
import type { MaskError } from '../access/mask-error.ts';
import type { QueryClient, RunKnownQuery } from '../operations/known-queries.ts';
import type { KeptResponses, RequestedOperation } from '../operations/kept-responses.ts';
import { isFresh } from '../operations/operation-context.ts';
import type { OperationParams } from '../access/operation-params.ts';
import type { OperationRecord, OperationRecords } from '../observation/operation-records.ts';
import { REQUEST_ID_HEADER, requestIdOf } from '../observation/request-id.ts';
import { parseOperation, toText } from './http-request.ts';
import { isPlainPost, readBody } from './node-body.ts';
import type { TransportContext } from './transport-context.ts';

/**
 * Answers POST requests for a single JSON result without Yoga's Fetch API layer, whose requests, responses and streams
 * take longer than the operation itself.
 *
 * A response that was sent before and is still fresh is sent again. A query whose document is known is executed without
 * Yoga. Any other operation goes through Yoga's own handler with all plugins; only the hooks that get or give a
 * `Response` do not run: `onRequest`, `onRequestParse`, `onResultProcess` and `onResponse`. What needs those is left to
 * Yoga.
 */
export interface DirectPost {
  /** False, before the body is read, for what Yoga is to answer. */
  accepts(request: IncomingMessage): boolean;
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export interface DirectPostParts {
  yoga: YogaServerInstance<TransportContext, Context>;
  runKnownQuery: RunKnownQuery;
  keptResponses: KeptResponses;
  gate: OperationGate;
  clientAddress: ClientAddress;
  requestSpace: RequestSpace;
  maskError: MaskError;
  records: OperationRecords;
  maxBodyBytes: number;
}

type MediaType = 'application/json' | 'application/graphql-response+json';

const NO_ERRORS = {};
// A result that is a stream needs Yoga, and so does a document that is not sent, which may be a subscription.
const MAY_STREAM = /\bsubscription\b/;

export function createDirectPost(parts: DirectPostParts): DirectPost {
  const { yoga, runKnownQuery, keptResponses, gate, clientAddress, maskError, maxBodyBytes } =
    parts;
  return {
    accepts: request =>
      isPlainPost(request) &&
      // A trace is added by hooks that do not run here.
      request.headers['apollo-federation-include-trace'] === undefined &&
      mediaTypeFor(request.headers.accept) !== null,
    async answer(request, response) {
      const mediaType = mediaTypeFor(request.headers.accept) ?? 'application/json';
      const header = (name: string) => request.headers[name]?.toString() ?? null;
      const record = parts.records.begin({
        transport: 'http',
        requestId: response.getHeader(REQUEST_ID_HEADER)?.toString() ?? requestIdOf(header),
        traceparent: header('traceparent'),
      });
      const respond = async (result: ExecutionResult, operation?: RequestedOperation) => {
        // The client may have disconnected.
        if (response.destroyed) return record.leave();
        record.end(result);
        if (operation === undefined || result.errors !== undefined)
          return send(request, response, result, mediaType);
        const kept = keptResponses.keep(operation, JSON.stringify(result), record);
        return sendKept(request, response, kept, mediaType);
      };
      try {
        // Before the body is read, which would be work for a caller without a credential.
        const admission = await gate.identify(header, clientAddress.addressOf(request));
        // The client disconnected while its token was checked.
        if (response.destroyed) return record.leave();
        const share = parts.requestSpace.open();
        response.once('close', () => share.close());
        const body = toText(await readBody(request, maxBodyBytes, share));
        const operation = { admission, body, isFresh: isFresh(header('cache-control')) };
        const kept = keptResponses.find(operation);
        if (kept !== undefined) {
          record.identifyAs(kept.operation);
          record.end(NO_ERRORS);
          return await sendKept(request, response, kept, mediaType);
        }
        const params = parseOperation(body);
        const known = runKnownQuery(
          gate.admit(params, admission),
          new HttpClient(response, header, record),
        );
        // A hash is registered each time that it is sent with its document.
        const mayKeep = !params.query || params.extensions?.['persistedQuery'] === undefined;
        const keptAs = mayKeep ? operation : undefined;
        if (known !== null) await respond(await known, keptAs);
        else if (!params.query || MAY_STREAM.test(params.query))
          await yoga(request, response, { parsed: params, record, share });
        else await respond(await execute(request, response, params, admission, record), keptAs);
      } catch (error) {
        if (response.destroyed) record.leave();
        else await respond({ errors: [maskError(error)] });
      }
    },
  };

  async function execute(
    req: IncomingMessage,
    res: ServerResponse,
    params: OperationParams,
    admission: Admission,
    record: OperationRecord,
  ) {
    // What plugins use of a Request; the types want all of it.
    const request = new DirectRequest(req, res) as unknown as Request;
    const context = { req, res, request, admission, record } as unknown as Parameters<
      typeof yoga.getResultForParams
    >[1];
    return (await yoga.getResultForParams({ params, request }, context)) as ExecutionResult;
  }
}

/** The client of a request, as queries see it. */
class HttpClient implements QueryClient {
  readonly record: OperationRecord;
  readonly header: QueryClient['header'];
  readonly #response: ServerResponse;

  constructor(response: ServerResponse, header: QueryClient['header'], record: OperationRecord) {
    this.#response = response;
    this.header = header;
    this.record = record;
  }

  get hasLeft(): boolean {
    return this.#response.destroyed;
  }

  onLeave(leave: () => void): void {
    this.#response.once('close', () => {
      if (!this.#response.writableFinished) leave();
    });
  }
}

/**
 * The type that Yoga answers a single result with: that of the first range that takes one. Null where the client may
 * want a stream, or names parameters.
 */
export function mediaTypeFor(accept = '*/*'): MediaType | null {
  const ranges = accept.toLowerCase().replaceAll(/\s/g, '').split(',');
  if (!ranges.every(range => RANGE.test(range))) return null;
  return ranges[0]?.startsWith('application/graphql-response+json')
    ? 'application/graphql-response+json'
    : 'application/json';
}

// A weight of 0 says that the range is not acceptable.
const RANGE = /^(\*\/\*|application\/(\*|json|graphql-response\+json))(;q=(?!0(\.0*)?$)[\d.]+)?$/;

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

/** Receives what Yoga would make a Response of. */
class Answer {
  readonly body: string;
  readonly init: { status: number; headers: Record<string, string> };

  constructor(body: string, init: { status: number; headers: Record<string, string> }) {
    this.body = body;
    this.init = init;
  }
}

const FETCH_API = { Response: Answer } as unknown as Parameters<typeof processRegularResult>[1];

async function send(
  { headers: { 'accept-encoding': accepted = '' } }: IncomingMessage,
  response: ServerResponse,
  result: ExecutionResult,
  mediaType: MediaType,
): Promise<void> {
  const answer = processRegularResult(result, FETCH_API, mediaType) as unknown as Answer;
  const { status, headers } = answer.init;
  const encoded = await encodeBody(answer.body, accepted);
  response.writeHead(status, { ...headers, ...encoded.headers }).end(encoded.body);
}

function copyOf(body: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(body.length);
  body.copy(copy);
  return copy;
}

/** Sends a response without errors. */
async function sendKept(
  { headers: { 'accept-encoding': accepted = '' } }: IncomingMessage,
  response: ServerResponse,
  kept: KeptResponse,
  mediaType: MediaType,
): Promise<void> {
  const { body, headers, compressed } = await encodeBody(kept.json, accepted, kept.compressed);
  // A copy, because zlib returns a part of a larger buffer.
  if (compressed !== null) kept.compressed ??= { ...compressed, body: copyOf(compressed.body) };
  response.writeHead(200, { 'Content-Type': `${mediaType}; charset=utf-8`, ...headers }).end(body);
}
