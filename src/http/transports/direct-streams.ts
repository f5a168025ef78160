import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ExecutionResult } from 'graphql';
import { LightSignal, type Signal } from '../../signal.ts';
import type { ClientAddress } from '../access/client-address.ts';
import type { Admission, OperationGate } from '../access/operation-gate.ts';
import type { OperationParams } from '../access/operation-params.ts';
import type { RequestSpace } from '../access/request-space.ts';
import type { OperationRecord, OperationRecords } from '../observation/operation-records.ts';
import { REQUEST_ID_HEADER, requestIdOf } from '../observation/request-id.ts';
import type { LeavingClient } from '../operations/operation-context.ts';
import type { KnownSubscriptions, SubscriptionClient } from '../operations/known-subscriptions.ts';
import type { DirectResults } from '../plugins/direct-results.ts';
import { CALLBACK_SPEC, mediaRangesIn } from './accept.ts';
import { parseOperation, toText } from './http-request.ts';
import { isPlainPost, readBody } from './node-body.ts';
import { type ResponseFormat, ResponseResults } from './response-results.ts';
import { COMPLETE_ID, SSE, framingFor, prefersJson } from './stream-framing.ts';
import type { AnswerByYoga } from './yoga-adapter.ts';

/**
 * Serves POST requests for a stream of Server-Sent Events without Yoga's Fetch API layer, whose
 * requests, responses and streams would take more memory than all the rest for as long as the
 * stream is open.
 *
 * Starts a subscription whose document is known. What is refused before that, or is another
 * operation, goes through Yoga with all plugins.
 */
export interface DirectStreams {
  /** False, before the body is read, for what Yoga is to answer. */
  accepts(request: IncomingMessage): boolean;
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export interface DirectStreamsParts {
  answerByYoga: AnswerByYoga;
  knownSubscriptions: KnownSubscriptions;
  /** The format of Server-Sent Events. */
  sse: ResponseFormat;
  gate: OperationGate;
  clientAddress: ClientAddress;
  requestSpace: RequestSpace;
  records: OperationRecords;
  maxBodyBytes: number;
}

const SSE_TRANSPORT = () => 'sse' as const;

export function createDirectStreams(parts: DirectStreamsParts): DirectStreams {
  const { answerByYoga, knownSubscriptions, sse, gate, clientAddress, requestSpace } = parts;

  return {
    accepts(request) {
      if (!isPlainPost(request) || request.headers['last-event-id'] === COMPLETE_ID) return false;
      const ranges = mediaRangesIn(request.headers.accept);
      // The operation may name a callback.
      if (ranges.some(({ parameters }) => parameters.includes(CALLBACK_SPEC))) return false;
      return framingFor(ranges) === SSE && !prefersJson(ranges, SSE);
    },
    async answer(request, response) {
      const header = (name: string) => request.headers[name]?.toString() ?? null;
      const record = parts.records.begin({
        transport: 'http',
        streamTransport: SSE_TRANSPORT,
        requestId: response.getHeader(REQUEST_ID_HEADER)?.toString() ?? requestIdOf(header),
        traceparent: header('traceparent'),
      });
      let admission: Admission;
      try {
        // Before the body is read, which would be work for a caller without a credential.
        admission = await gate.identify(header, clientAddress.addressOf(request));
      } catch {
        return answerByYoga(request, response, { record });
      }
      // The client disconnected while its token was checked.
      if (response.destroyed) return record.leave();
      const share = requestSpace.open();
      const closeShare = () => share.close();
      // Before the body is read: the response closes before the read fails.
      response.once('close', closeShare);
      const parsed = readBody(request, parts.maxBodyBytes, share).then(body =>
        parseOperation(toText(body)),
      );
      const client = { record, header, leaving: new LeavingReader(response) };
      const params = await settled(parsed);
      if (response.destroyed) return record.leave();
      const started = start(params, admission, client);
      if (started === null) return answerByYoga(request, response, { parsed, record });
      // What was read is not kept for as long as the stream.
      response.off('close', closeShare);
      closeShare();
      return send(response, await started, record);
    },
  };

  /** Null if Yoga is to answer. */
  function start(
    params: OperationParams | null,
    admission: Admission,
    client: SubscriptionClient,
  ): ReturnType<KnownSubscriptions['start']> {
    try {
      return params && knownSubscriptions.start(gate.admit(params, admission), client);
    } catch {
      return null;
    }
  }

  function send(
    response: ServerResponse,
    result: DirectResults | ExecutionResult,
    record: OperationRecord,
  ): void {
    if ('take' in result) {
      if (response.destroyed) void result.return?.();
      else void new ResponseResults(response, result, sse);
    } else if (response.destroyed) record.leave();
    else {
      record.end(result);
      const text = SSE.only(result);
      const length = Buffer.byteLength(text);
      response
        .writeHead(200, { 'content-type': SSE.contentType, 'content-length': length })
        .end(text);
    }
  }
}

/** Null if it was rejected. */
function settled<T>(promise: Promise<T>): Promise<T | null> {
  return promise.catch(() => null);
}

/** Its signal is made when it is first asked for. */
class LeavingReader implements LeavingClient {
  readonly #response: ServerResponse;
  #signal: LightSignal | null = null;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  signal(): Signal {
    if (this.#signal !== null) return this.#signal;
    const signal = new LightSignal();
    this.#signal = signal;
    const leave = () =>
      signal.abort(new DOMException('The client has disconnected.', 'AbortError'));
    if (this.#response.destroyed) leave();
    else this.#response.on('close', leave);
    return signal;
  }
}
