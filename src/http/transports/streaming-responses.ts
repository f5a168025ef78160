import { Readable } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import { type MediaRange, mediaRangesOf } from './accept.ts';
import type { MaskError } from '../access/mask-error.ts';
import { type Drain, shuttingDown } from './drain.ts';
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
  only(json: string): string;
  closing: string;
  /** The last bytes of a stream that the gateway ends, with the reason. Clients connect again. */
  interruption(errors: string): string;
}

// Distinct connections mode of GraphQL over SSE. Some browsers wait for a first byte, so there is one.
const SSE: Framing = {
  contentType: 'text/event-stream',
  opening: ':\n\n',
  heartbeat: ':\n\n',
  heartbeatMs: 12_000,
  frame: json => `event: next\ndata: ${json}\n\n`,
  only: json => `:\n\nevent: next\ndata: ${json}\n\nevent: complete\ndata:\n\n`,
  closing: 'event: complete\ndata:\n\n',
  // Without `complete`: clients would not connect again.
  interruption: errors => `event: next\ndata: {"errors":${errors}}\n\n`,
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
  closing: '--\r\n',
  // A transport error, after which clients may connect again: the errors stand beside an empty payload.
  interruption: errors => `${PART}{"payload":null,"errors":${errors}}${BOUNDARY}--\r\n`,
};

/**
 * Streams the results of a subscription as the caller accepts them. A result that many are given, the
 * very same object, is serialised once for all of them.
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
        // One result: that of a query, or the errors of an operation that was refused.
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

/** The first way of streaming that a caller accepts; null: none is asked for. */
function framingFor(ranges: readonly MediaRange[]): Framing | null {
  for (const { type, parameters } of ranges) {
    if (type === 'text/event-stream') return SSE;
    // Without that parameter `multipart/mixed` means incremental delivery, which is another protocol.
    if (type === 'multipart/mixed' && parameters.includes('subscriptionspec=1.0')) return MULTIPART;
  }
  return null;
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
  #isEnded = false;

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

  /** Ends the stream with the reason, as JSON. The client gets no further results. */
  interrupt(errors: string): void {
    if (this.#isEnded) return;
    this.#end(this.#framing.interruption(errors));
    void this.#leave();
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
      // Only an abort comes here, for a caller that has gone.
      () => this.destroy(),
    );
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#heartbeat);
    void this.#leave();
    done(error);
  }

  #end(closing: string): void {
    this.#isEnded = true;
    clearInterval(this.#heartbeat);
    this.push(closing);
    this.push(null);
  }

  async #leave(): Promise<void> {
    // Nobody is left to be told that leaving failed.
    await this.#results.return?.().catch(() => {});
  }
}
