import type { ServerResponse } from 'node:http';
import type { ExecutionResult } from 'graphql';
import type { MaskError } from '../access/mask-error.ts';
import type { DirectResults } from '../plugins/direct-results.ts';
import { DirectReader, type ResultSink } from './direct-reader.ts';
import { type Drain, shuttingDown } from './drain.ts';
import { Heartbeats } from './heartbeats.ts';
import {
  type Frame,
  type FrameOf,
  MULTIPART,
  SSE,
  STREAM_HEADERS,
  type StreamFraming,
  createFrameOf,
  isFinalResult,
} from './stream-framing.ts';

/** What all responses of one format share. */
export interface ResponseFormat {
  framing: StreamFraming;
  frameOf: FrameOf;
  heartbeats: Heartbeats;
  drain: Drain;
  maskError: MaskError;
}

export type ResponseFormats = Readonly<Record<StreamFraming['transport'], ResponseFormat>>;

export function createResponseFormats(drain: Drain, maskError: MaskError): ResponseFormats {
  return { sse: formatOf(SSE), multipart: formatOf(MULTIPART) };

  function formatOf(framing: StreamFraming): ResponseFormat {
    const heartbeats = new Heartbeats(framing.heartbeatMs);
    return { framing, frameOf: createFrameOf(framing), heartbeats, drain, maskError };
  }
}

/** Writes the results of a subscription into a response, without a stream in between. */
export class ResponseResults implements ResultSink {
  readonly #response: ServerResponse;
  readonly #format: ResponseFormat;
  readonly #reader: DirectReader;
  /** Whether the operating system has not yet taken what was written. */
  #isWaiting = true;
  #isFinal = true;
  #isEnded = false;

  constructor(response: ServerResponse, results: DirectResults, format: ResponseFormat) {
    const { framing, heartbeats, drain, maskError } = format;
    this.#response = response;
    this.#format = format;
    this.#reader = new DirectReader(results, maskError, this);
    heartbeats.add(this);
    drain.add(this);
    response.on('close', () => this.#close());
    if (!response.headersSent)
      response.writeHead(200, { 'content-type': framing.contentType, ...STREAM_HEADERS });
    response.write(framing.opening, () => this.#continue());
  }

  isReady(): boolean {
    return !this.#isWaiting && !this.#isEnded;
  }

  write(result: ExecutionResult): void {
    this.#isFinal = isFinalResult(result);
    this.#writeFrame(this.#format.frameOf(result));
  }

  end(): void {
    this.#end(this.#format.framing.closing(this.#isFinal));
  }

  /** Ends the response because the gateway shuts down. The client gets no further results. */
  interrupt(): void {
    const { framing, maskError } = this.#format;
    this.#end(framing.interruption(JSON.stringify([maskError(shuttingDown())])));
    this.#reader.close();
  }

  beat(): void {
    // Unread data already keeps the connection alive.
    if (this.isReady()) this.#writeFrame(this.#format.framing.heartbeat);
  }

  #writeFrame({ bytes, chunk }: Frame): void {
    const { socket, chunkedEncoding } = this.#response;
    // Not through the response, which would divide the chunk in three. All subscribers of an event
    // share it.
    if (chunkedEncoding) socket?.write(chunk);
    else this.#response.write(bytes);
    if (socket?.writableLength === 0) return;
    this.#isWaiting = true;
    socket?.write('', () => this.#continue());
  }

  #continue(): void {
    this.#isWaiting = false;
    this.#reader.read();
  }

  #end(closing: string): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#response.end(closing);
  }

  #close(): void {
    this.#isEnded = true;
    this.#format.heartbeats.delete(this);
    this.#format.drain.remove(this);
    this.#reader.close();
  }
}
