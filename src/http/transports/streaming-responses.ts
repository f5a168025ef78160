import { Readable } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import { type MediaRange, mediaRangesOf } from './accept.ts';
import type { MaskError } from '../access/mask-error.ts';
import { type Drain, shuttingDown } from './drain.ts';
import { streamResponse } from './stream-response.ts';

/** How successive results are written into one response. */
interface Framing {
  contentType: string;
  opening: string;
  /** Written periodically, so that proxies do not close an idle stream. */
  heartbeat: string;
  heartbeatMs: number;
  frame(json: string): string;
  /** A complete response with a single result. */
  only(json: string): string;
  closing: string;
  /** The end of a stream that the gateway ends, with the reason. Clients reconnect after it. */
  interruption(errors: string): string;
}

// The distinct connections mode of GraphQL over SSE. Some browsers do not report the stream as open
// before its first byte, so it starts with a comment.
const SSE: Framing = {
  contentType: 'text/event-stream',
  opening: ':\n\n',
  heartbeat: ':\n\n',
  heartbeatMs: 12_000,
  frame: json => `event: next\ndata: ${json}\n\n`,
  only: json => `:\n\nevent: next\ndata: ${json}\n\nevent: complete\ndata:\n\n`,
  closing: 'event: complete\ndata:\n\n',
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
  closing: '--\r\n',
  // A transport error, after which clients may reconnect: the errors are next to an empty payload.
  interruption: errors => `${PART}{"payload":null,"errors":${errors}}${BOUNDARY}--\r\n`,
};

/**
 * Streams the results of a subscription in the format that the client accepts. A result object that several
 * subscribers share is serialised once.
 */
export function useResultStreams(drain: Drain, maskError: MaskError): Plugin {
  const frames = new Map(
    [SSE, MULTIPART].map(framing => [framing, new WeakMap<ExecutionResult, Buffer>()]),
  );

  return {
    onResultProcess({ request, result, setResultProcessor }) {
      const ranges = mediaRangesOf(request);
      const framing = framingFor(ranges);
      if (framing === null) return;
      if (isAsyncIterable(result)) {
        setResultProcessor((results, { Response }) => {
          const events = results as AsyncIterable<ExecutionResult>;
          const stream = new ResultStream(events, framing, frameOf);
          const errors = () => JSON.stringify([maskError(shuttingDown())]);
          const remove = drain.add(() => stream.interrupt(errors()));
          stream.once('close', remove);
          return streamResponse(stream, framing.contentType, Response);
        }, framing.contentType);
      } else if (framing === SSE || !ranges.some(acceptsJson)) {
        // A single result: of a query, or the errors of a refused operation.
        setResultProcessor(
          (single, { Response }) =>
            new Response(framing.only(JSON.stringify(single)), {
              headers: { 'content-type': framing.contentType },
            }),
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

/** The first streaming format that the client accepts; null if it accepts none. */
function framingFor(ranges: readonly MediaRange[]): Framing | null {
  for (const { type, parameters } of ranges) {
    if (type === 'text/event-stream') return SSE;
    // Without this parameter, `multipart/mixed` means incremental delivery, which is another protocol.
    if (type === 'multipart/mixed' && parameters.includes('subscriptionspec=1.0')) return MULTIPART;
  }
  return null;
}

function acceptsJson({ type }: MediaRange): boolean {
  return /^(\*|application)\/(\*|(graphql-response\+)?json)$/.test(type);
}

type FrameOf = (result: ExecutionResult, framing: Framing) => Buffer;

/**
 * Pulls the next result when the last one was read, so that the mailbox can merge events for a slow
 * reader.
 */
class ResultStream extends Readable {
  readonly #results: AsyncIterator<ExecutionResult>;
  readonly #framing: Framing;
  readonly #frameOf: FrameOf;
  readonly #heartbeat: NodeJS.Timeout;
  #isReading = false;
  #isEnded = false;

  constructor(results: AsyncIterable<ExecutionResult>, framing: Framing, frameOf: FrameOf) {
    super({ highWaterMark: 1 });
    this.#results = results[Symbol.asyncIterator]();
    this.#framing = framing;
    this.#frameOf = frameOf;
    this.push(framing.opening);
    this.#heartbeat = setInterval(() => {
      // Unread data already keeps the connection alive.
      if (this.readableLength === 0) this.push(framing.heartbeat);
    }, framing.heartbeatMs);
  }

  /** Ends the stream with the reason, as JSON. The client gets no further results. */
  interrupt(errors: string): void {
    if (this.#isEnded) return;
    this.#end(this.#framing.interruption(errors));
    void this.#closeResults();
  }

  override _read(): void {
    if (this.#isReading || this.#isEnded) return;
    this.#isReading = true;
    this.#results.next().then(
      ({ done, value }) => {
        this.#isReading = false;
        if (this.#isEnded) return;
        if (done) this.#end(this.#framing.closing);
        else this.push(this.#frameOf(value, this.#framing));
      },
      // Results only fail when they are aborted because the client has disconnected.
      () => this.destroy(),
    );
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#heartbeat);
    void this.#closeResults();
    done(error);
  }

  #end(closing: string): void {
    this.#isEnded = true;
    clearInterval(this.#heartbeat);
    this.push(closing);
    this.push(null);
  }

  async #closeResults(): Promise<void> {
    // The client is no longer connected, so an error has no receiver.
    await this.#results.return?.().catch(() => {});
  }
}
