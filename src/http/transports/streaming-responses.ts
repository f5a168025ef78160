import { Readable } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import type { ErrorCode } from '../../errors.ts';
import { type MediaRange, mediaRangesOf } from './accept.ts';
import { streamResponse } from './stream-response.ts';

/** How results that follow each other are written into one response. */
interface Framing {
  contentType: string;
  opening: string;
  /** Written now and then, so that nothing on the way takes the stream for dead. */
  heartbeat: string;
  heartbeatMs: number;
  frame(json: string): string;
  /** A whole response, with this one result. */
  only(json: string, isFinal: boolean): string;
  /** `isFinal`: the same request would give nothing else. */
  closing(isFinal: boolean): string;
}

// An EventSource reconnects after the end of a stream, and sends the last id that it has seen.
const COMPLETE_ID = 'complete';

// The same request may succeed later.
const TEMPORARY_CODES: readonly unknown[] = [
  'RATE_LIMITED',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_UNAVAILABLE',
] satisfies ErrorCode[];

// Distinct connections mode of GraphQL over SSE. Some browsers wait for a first byte, so there is one.
const SSE: Framing = {
  contentType: 'text/event-stream',
  opening: ':\n\n',
  heartbeat: ':\n\n',
  heartbeatMs: 12_000,
  frame: json => `event: next\ndata: ${json}\n\n`,
  only: (json, isFinal) => `:\n\nevent: next\ndata: ${json}\n\n${toCompleteEvent(isFinal)}`,
  closing: toCompleteEvent,
};

// Apollo's multipart protocol for subscriptions. Each part is followed by its boundary at once: a reader
// knows only by that that the part is whole.
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
};

/**
 * Streams the results of a subscription as the caller accepts them. A result that many are given, the
 * very same object, is serialised once for all of them.
 *
 * An EventSource would open a stream again that has completed, and again. So `complete` has an id, and a
 * request with that id as Last-Event-ID is answered 204, which tells an EventSource to stop. After a
 * temporary error there is no id: the EventSource then tries again.
 */
export function useResultStreams(path: string): Plugin {
  const frames = new Map(
    [SSE, MULTIPART].map(framing => [framing, new WeakMap<ExecutionResult, Buffer>()]),
  );

  return {
    onRequest({ request, url, fetchAPI: { Response }, endResponse }) {
      const isStream = url.pathname === path && framingFor(mediaRangesOf(request)) === SSE;
      if (isStream && request.headers.get('last-event-id') === COMPLETE_ID)
        endResponse(new Response(null, { status: 204 }));
    },
    onResultProcess({ request, result, setResultProcessor }) {
      const ranges = mediaRangesOf(request);
      const framing = framingFor(ranges);
      if (framing === null) return;
      if (isAsyncIterable(result)) {
        setResultProcessor(
          (results, { Response }) =>
            streamResponse(
              new ResultStream(results as AsyncIterable<ExecutionResult>, framing, frameOf),
              framing.contentType,
              Response,
            ),
          framing.contentType,
        );
      } else if (framing === SSE || !ranges.some(acceptsJson)) {
        // One result: that of a query, or the errors of an operation that was refused.
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

  function frameOf(result: ExecutionResult, framing: Framing): Buffer {
    const known = frames.get(framing)?.get(result);
    if (known) return known;
    const frame = Buffer.from(framing.frame(JSON.stringify(result)));
    frames.get(framing)?.set(result, frame);
    return frame;
  }
}

/** The first way of streaming that a caller accepts; null: none is asked for. */
function framingFor(ranges: readonly MediaRange[]): Framing | null {
  for (const { type, parameters } of ranges) {
    if (type === 'text/event-stream') return SSE;
    // Without that parameter `multipart/mixed` means incremental delivery, which is another protocol.
    if (type === 'multipart/mixed' && parameters.includes('subscriptionspec=1.0')) return MULTIPART;
  }
  return null;
}

function toCompleteEvent(isFinal: boolean): string {
  return `event: complete\n${isFinal ? `id: ${COMPLETE_ID}\n` : ''}data:\n\n`;
}

function isFinalResult({ errors = [] }: ExecutionResult): boolean {
  return !errors.some(({ extensions }) => TEMPORARY_CODES.includes(extensions?.['code']));
}

function acceptsJson({ type }: MediaRange): boolean {
  return /^(\*|application)\/(\*|(graphql-response\+)?json)$/.test(type);
}

type FrameOf = (result: ExecutionResult, framing: Framing) => Buffer;

/** Reads a result when the last one has been taken: what a slow reader has yet to read waits in its mailbox. */
class ResultStream extends Readable {
  readonly #results: AsyncIterator<ExecutionResult>;
  readonly #framing: Framing;
  readonly #frameOf: FrameOf;
  readonly #heartbeat: NodeJS.Timeout;
  #isReading = false;
  #isFinal = true;

  constructor(results: AsyncIterable<ExecutionResult>, framing: Framing, frameOf: FrameOf) {
    super({ highWaterMark: 1 });
    this.#results = results[Symbol.asyncIterator]();
    this.#framing = framing;
    this.#frameOf = frameOf;
    this.push(framing.opening);
    this.#heartbeat = setInterval(() => {
      // Whoever has yet to read something needs no sign of life.
      if (this.readableLength === 0) this.push(framing.heartbeat);
    }, framing.heartbeatMs);
  }

  override _read(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#results.next().then(
      ({ done, value }) => {
        this.#isReading = false;
        if (!done) {
          this.#isFinal = isFinalResult(value);
          return this.push(this.#frameOf(value, this.#framing));
        }
        clearInterval(this.#heartbeat);
        this.push(this.#framing.closing(this.#isFinal));
        return this.push(null);
      },
      // Only an abort comes here, for a caller that has gone.
      () => this.destroy(),
    );
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#heartbeat);
    void this.#leave();
    done(error);
  }

  async #leave(): Promise<void> {
    // Nobody is left to be told that leaving failed.
    await this.#results.return?.().catch(() => {});
  }
}
