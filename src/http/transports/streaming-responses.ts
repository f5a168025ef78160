import type { ServerResponse } from 'node:http';
import type { ExecutionResult } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import { type MediaRange, mediaRangesOf } from './accept.ts';
import type { MaskError } from '../access/mask-error.ts';
import { type Drain, shuttingDown } from './drain.ts';
import type { DirectContext, DirectResults } from '../plugins/direct-results.ts';
import {
  type Frame,
  ResultStream,
  type StreamFraming,
  isFinalResult,
  toFrame,
} from './result-stream.ts';
import { streamResponse } from './stream-response.ts';

/** The format of a response with successive results, or with a single one. */
interface Framing extends StreamFraming {
  contentType: string;
  /** A complete response with a single result. */
  only(json: string, isFinal: boolean): string;
}

// An EventSource reconnects after the end of a stream, and sends the last id that it received.
const COMPLETE_ID = 'complete';

// The distinct connections mode of GraphQL over SSE. Some browsers do not report the stream as open
// before its first byte, so it starts with a comment.
const SSE: Framing = {
  contentType: 'text/event-stream',
  opening: ':\n\n',
  heartbeat: ':\n\n',
  heartbeatMs: 12_000,
  frame: json => `event: next\ndata: ${json}\n\n`,
  only: (json, isFinal) => `:\n\nevent: next\ndata: ${json}\n\n${toCompleteEvent(isFinal)}`,
  closing: toCompleteEvent,
  // No `complete`, because clients would not reconnect after it.
  interruption: errors => `event: next\ndata: {"errors":${errors}}\n\n`,
};

// Apollo's multipart protocol for subscriptions. Each part is followed by its boundary immediately,
// because the reader needs the boundary to see that the part is complete.
const PART = '\r\ncontent-type: application/json\r\n\r\n';
const BOUNDARY = '\r\n--graphql';
const MULTIPART: Framing = {
  contentType: 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0',
  opening: `${BOUNDARY}${PART}{}${BOUNDARY}`,
  heartbeat: `${PART}{}${BOUNDARY}`,
  heartbeatMs: 5_000,
  frame: json => `${PART}{"payload":${json}}${BOUNDARY}`,
  only: json => `${BOUNDARY}${PART}${json}${BOUNDARY}--\r\n`,
  closing: () => '--\r\n',
  // A transport error, after which clients may reconnect: the errors are next to an empty payload.
  interruption: errors => `${PART}{"payload":null,"errors":${errors}}${BOUNDARY}--\r\n`,
};

/**
 * Streams the results of a subscription in the format that the client accepts. A result object that several
 * subscribers share is serialised once.
 *
 * An EventSource reconnects whenever a stream ends, even after `complete`. So `complete` has an id, and a
 * request with that id as Last-Event-ID is answered 204, which makes an EventSource stop. After a temporary
 * error there is no id: the EventSource then tries again.
 */
export function useResultStreams(path: string, drain: Drain, maskError: MaskError): Plugin {
  const frames = new Map(
    [SSE, MULTIPART].map(framing => [framing, new WeakMap<ExecutionResult, Frame>()]),
  );
  /** By the stream that Yoga passes to `onResultProcess`. */
  const directs = new WeakMap<object, DirectResults>();

  return {
    onRequest({ request, url, fetchAPI: { Response }, endResponse }) {
      const isStream = url.pathname === path && framingFor(mediaRangesOf(request)) === SSE;
      if (isStream && request.headers.get('last-event-id') === COMPLETE_ID)
        endResponse(new Response(null, { status: 204 }));
    },
    onExecutionResult({ result, context }) {
      const { direct } = context as DirectContext;
      if (direct && isAsyncIterable(result)) directs.set(result, direct);
    },
    onResultProcess({ request, result, serverContext, setResultProcessor }) {
      const ranges = mediaRangesOf(request);
      const framing = framingFor(ranges);
      if (framing === null) return;
      if (isAsyncIterable(result)) {
        setResultProcessor((results, { Response }) => {
          const events = results as AsyncIterable<ExecutionResult>;
          const { res = null } = serverContext as { res?: ServerResponse };
          const direct = directs.get(results as object) ?? null;
          const stream = new ResultStream(events, {
            framing,
            frameOf: result => frameOf(result, framing),
            directly: direct && res && { results: direct, response: res, maskError },
          });
          const errors = () => JSON.stringify([maskError(shuttingDown())]);
          const remove = drain.add(() => stream.interrupt(errors()));
          stream.once('close', remove);
          return streamResponse(stream, framing.contentType, Response);
        }, framing.contentType);
      } else if (!prefersJson(ranges, framing)) {
        // A single result: of a query, or the errors of a refused operation.
        setResultProcessor(
          (single, { Response }) =>
            new Response(
              framing.only(JSON.stringify(single), isFinalResult(single as ExecutionResult)),
              {
                headers: { 'content-type': framing.contentType },
              },
            ),
          framing.contentType,
        );
      }
    },
  };

  function frameOf(result: ExecutionResult, framing: Framing): Frame {
    const known = frames.get(framing)?.get(result);
    if (known) return known;
    const frame = toFrame(framing.frame(JSON.stringify(result)));
    frames.get(framing)?.set(result, frame);
    return frame;
  }
}

/** The first streaming format that the client accepts; null if it accepts none. */
function framingFor(ranges: readonly MediaRange[]): Framing | null {
  for (const { type, parameters } of ranges) {
    if (type === 'text/event-stream') return SSE;
    // Without this parameter, `multipart/mixed` means incremental delivery, which is another protocol.
    if (type === 'multipart/mixed' && parameters.includes('subscriptionspec=1.0')) return MULTIPART;
  }
  return null;
}

function toCompleteEvent(isFinal: boolean): string {
  return `event: complete\n${isFinal ? `id: ${COMPLETE_ID}\n` : ''}data:\n\n`;
}

/**
 * Whether a single result is sent as JSON. Apollo lists its multipart format first and takes JSON as well;
 * others get what they list first, as urql does JSON.
 */
function prefersJson(ranges: readonly MediaRange[], framing: Framing): boolean {
  const json = ranges.findIndex(acceptsJson);
  if (framing === MULTIPART || json === -1) return json !== -1;
  return json < ranges.findIndex(({ type }) => type === SSE.contentType);
}

function acceptsJson({ type }: MediaRange): boolean {
  return /^(\*|application)\/(\*|(graphql-response\+)?json)$/.test(type);
}
