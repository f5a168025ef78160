import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import type { ErrorCode } from '../../errors.ts';
import type { MaskError } from '../access/mask-error.ts';
import type { DirectResults } from '../plugins/direct-results.ts';
import { DirectReader } from './direct-reader.ts';

/** How successive results are written into one response. */
export interface StreamFraming {
  opening: string;
  /** Written periodically, so that proxies do not close an idle stream. */
  heartbeat: string;
  heartbeatMs: number;
  frame(json: string): string;
  /** `isFinal`: the same request would return nothing else. */
  closing(isFinal: boolean): string;
  /** The end of a stream that the gateway ends, with the reason. Clients reconnect after it. */
  interruption(errors: string): string;
}

/** A result as it is written. */
export interface Frame {
  bytes: Buffer;
  /** The same as a chunk of HTTP/1.1. */
  chunk: Buffer;
}

/** How results reach the response without a promise for each. */
export interface DirectDelivery {
  results: DirectResults;
  /** The response that the stream is piped to. */
  response: ServerResponse;
  maskError: MaskError;
}

export interface ResultStreamParts {
  framing: StreamFraming;
  frameOf(result: ExecutionResult): Frame;
  /** Null: each result is pulled with a promise, and written through the stream. */
  directly: DirectDelivery | null;
}

// The same request may succeed later.
const TEMPORARY_CODES: readonly unknown[] = [
  'RATE_LIMITED',
  'UPSTREAM_TIMEOUT',
  'UPSTREAM_UNAVAILABLE',
] satisfies ErrorCode[];

/** Whether the same request would return nothing else after this result. */
export function isFinalResult({ errors }: ExecutionResult): boolean {
  return !errors?.some(({ extensions }) => TEMPORARY_CODES.includes(extensions?.['code']));
}

export function toFrame(text: string): Frame {
  const bytes = Buffer.from(text);
  const chunk = Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ]);
  return { bytes: chunk.subarray(-bytes.length - 2, -2), chunk };
}

/**
 * Pulls the next result when the last one was read, so that the mailbox can merge events for a slow
 * reader.
 */
export class ResultStream extends Readable {
  readonly #results: AsyncIterator<ExecutionResult>;
  readonly #framing: StreamFraming;
  readonly #frameOf: (result: ExecutionResult) => Frame;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #reader: DirectReader | null;
  /** Set once this is piped to it, if results may be written to it directly. */
  #response: ServerResponse | null = null;
  /** Whether no result is to be read at the moment. */
  #isWaiting = true;
  #isFinal = true;
  #isEnded = false;

  constructor(
    results: AsyncIterable<ExecutionResult>,
    { framing, frameOf, directly }: ResultStreamParts,
  ) {
    super({ highWaterMark: 1 });
    this.#results = results[Symbol.asyncIterator]();
    this.#framing = framing;
    this.#frameOf = frameOf;
    this.push(framing.opening);
    this.#heartbeat = setInterval(() => {
      // Unread data already keeps the connection alive.
      if (this.readableLength === 0) this.push(framing.heartbeat);
    }, framing.heartbeatMs);
    this.#reader = directly && this.#createReader(directly);
  }

  /** Ends the stream with the reason, as JSON. The client gets no further results. */
  interrupt(errors: string): void {
    if (this.#isEnded) return;
    this.#end(this.#framing.interruption(errors));
    this.#closeResults();
  }

  override _read(): void {
    if (this.#isEnded) return;
    if (this.#reader !== null) {
      this.#isWaiting = false;
      this.#reader.read();
    } else if (this.#isWaiting) this.#pull();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#heartbeat);
    this.#closeResults();
    done(error);
  }

  #pull(): void {
    this.#isWaiting = false;
    this.#results.next().then(
      ({ done, value }) => {
        this.#isWaiting = true;
        if (this.#isEnded) return;
        if (done) {
          this.#end(this.#framing.closing(this.#isFinal));
          return;
        }
        this.#isFinal = isFinalResult(value);
        this.push(this.#frameOf(value).bytes);
      },
      // Results only fail when they are aborted because the client has disconnected.
      () => this.destroy(),
    );
  }

  #createReader({ results, response, maskError }: DirectDelivery): DirectReader {
    response.once('pipe', source => {
      if (source === this) this.#response = response;
    });
    return new DirectReader(results, maskError, {
      isReady: () => !this.#isWaiting && !this.#isEnded,
      write: result => this.#write(result),
      end: () => {
        if (!this.#isEnded) this.#end(this.#framing.closing(this.#isFinal));
      },
    });
  }

  #write(result: ExecutionResult): void {
    this.#isFinal = isFinalResult(result);
    const frame = this.#frameOf(result);
    const socket = this.#response?.socket ?? null;
    // The first result comes after the opening, which sends the headers. Node asks for it before it takes the opening,
    // and does not ask again until something is pushed.
    if (this.readableLength > 0 || socket === null || !this.#response?.chunkedEncoding) {
      this.#isWaiting = true;
      this.push(frame.bytes);
      return;
    }
    // All subscribers of the event share the chunk. Through `pipe` and the response it would be divided in four.
    socket.write(frame.chunk);
    if (socket.writableLength === 0) return;
    this.#isWaiting = true;
    socket.write('', () => {
      this.#isWaiting = false;
      this.#reader?.read();
    });
  }

  #end(closing: string): void {
    this.#isEnded = true;
    clearInterval(this.#heartbeat);
    this.push(closing);
    this.push(null);
  }

  #closeResults(): void {
    if (this.#reader !== null) this.#reader.close();
    // The client is no longer connected, so an error has no receiver.
    else void this.#results.return?.().catch(() => {});
  }
}
