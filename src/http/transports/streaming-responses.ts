import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import type { DirectContext, DirectResults } from '../plugins/direct-results.ts';
import { mediaRangesOf } from './accept.ts';
import { type ResponseFormat, type ResponseFormats, ResponseResults } from './response-results.ts';
import { COMPLETE_ID, SSE, framingFor, prefersJson } from './stream-framing.ts';
import { isNative, streamResponse } from './stream-response.ts';

/**
 * Streams the results of a subscription in the format that the client accepts. A result object that
 * several subscribers share is serialised once.
 *
 * An EventSource reconnects whenever a stream ends, even after `complete`. So `complete` has an id,
 * and a request with that id as Last-Event-ID is answered 204, which makes an EventSource stop.
 * After a temporary error there is no id: the EventSource then tries again.
 */
export function useResultStreams(path: string, formats: ResponseFormats): Plugin {
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
          const { res } = serverContext as unknown as { res: ServerResponse };
          const direct = directs.get(results as object);
          if (direct === undefined) throw new Error('The results cannot be read directly.');
          const body = bodyOf(res, direct, formats[framing.transport], Response);
          return streamResponse(body, framing.contentType, Response);
        }, framing.contentType);
      } else if (!prefersJson(ranges, framing)) {
        // A single result: of a query, or the errors of a refused operation.
        setResultProcessor(
          (single, { Response }) =>
            new Response(framing.only(single as ExecutionResult), {
              headers: { 'content-type': framing.contentType },
            }),
          framing.contentType,
        );
      }
    },
  };
}

/**
 * An empty body: the results are written into the response itself, once Yoga has sent its headers
 * and sends the body.
 */
function bodyOf(
  response: ServerResponse,
  results: DirectResults,
  format: ResponseFormat,
  ResponseType: typeof Response,
): Readable | ReadableStream {
  const leave = () => void results.return?.();
  if (response.destroyed) leave();
  response.once('close', leave);
  const begin = () => {
    response.off('close', leave);
    void new ResponseResults(response, results, format);
  };
  // It is read once, when the headers are sent: nothing is read ahead.
  if (isNative(ResponseType)) return new ReadableStream({ pull: begin }, { highWaterMark: 0 });
  response.once('pipe', begin);
  return new Readable({ read() {} });
}
