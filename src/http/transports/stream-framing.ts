import type { ExecutionResult } from 'graphql';
import type { ErrorCode } from '../../errors.ts';
import type { MediaRange } from './accept.ts';
import { jsonOf } from './result-json.ts';

/** How successive results, or a single one, are written into one response. */
export interface StreamFraming {
  transport: 'sse' | 'multipart';
  contentType: string;
  opening: string;
  /** Written periodically, so that proxies do not close an idle stream. */
  heartbeat: Frame;
  heartbeatMs: number;
  frame(json: string): string;
  /** `isFinal`: the same request would return nothing else. */
  closing(isFinal: boolean): string;
  /** The end of a stream that the gateway ends, with the reason. Clients reconnect after it. */
  interruption(errors: string): string;
  /** A complete response with a single result. */
  only(result: ExecutionResult): string;
}

/** A part of a stream as it is written. */
export interface Frame {
  bytes: Buffer;
  /** The same as a chunk of HTTP/1.1. */
  chunk: Buffer;
}

/** The frame of a result. Subscribers who share the result share the frame. */
export type FrameOf = (result: ExecutionResult) => Frame;

// An EventSource reconnects after the end of a stream, and sends the last id that it received.
export const COMPLETE_ID = 'complete';

// The distinct connections mode of GraphQL over SSE. Some browsers do not report the stream as open
// before its first byte, so it starts with a comment.
export const SSE: StreamFraming = {
  transport: 'sse',
  contentType: 'text/event-stream',
  opening: ':\n\n',
  heartbeat: toFrame(':\n\n'),
  heartbeatMs: 12_000,
  frame: json => `event: next\ndata: ${json}\n\n`,
  only: result =>
    `:\n\nevent: next\ndata: ${JSON.stringify(result)}\n\n${toCompleteEvent(isFinalResult(result))}`,
  closing: toCompleteEvent,
  // No `complete`, because clients would not reconnect after it.
  interruption: errors => `event: next\ndata: {"errors":${errors}}\n\n`,
};

// Apollo's multipart protocol for subscriptions. Each part is followed by its boundary immediately,
// because the reader needs the boundary to see that the part is complete.
const PART = '\r\ncontent-type: application/json\r\n\r\n';
const BOUNDARY = '\r\n--graphql';
export const MULTIPART: StreamFraming = {
  transport: 'multipart',
  contentType: 'multipart/mixed;boundary="graphql";subscriptionSpec=1.0',
  opening: `${BOUNDARY}${PART}{}${BOUNDARY}`,
  heartbeat: toFrame(`${PART}{}${BOUNDARY}`),
  heartbeatMs: 5_000,
  frame: json => `${PART}{"payload":${json}}${BOUNDARY}`,
  only: result => `${BOUNDARY}${PART}${JSON.stringify(result)}${BOUNDARY}--\r\n`,
  closing: () => '--\r\n',
  // A transport error, after which clients may reconnect: the errors are next to an empty payload.
  interruption: errors => `${PART}{"payload":null,"errors":${errors}}${BOUNDARY}--\r\n`,
};

/** Headers that keep proxies from buffering, compressing or caching a stream. */
export const STREAM_HEADERS = {
  'cache-control': 'no-store',
  connection: 'keep-alive',
  'content-encoding': 'none',
  'x-accel-buffering': 'no',
};

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

/** The first streaming format that the client accepts; null if it accepts none. */
export function framingFor(ranges: readonly MediaRange[]): StreamFraming | null {
  for (const { type, parameters } of ranges) {
    if (type === 'text/event-stream') return SSE;
    // Without this parameter, `multipart/mixed` means incremental delivery, which is another
    // protocol.
    if (type === 'multipart/mixed' && parameters.includes('subscriptionspec=1.0')) return MULTIPART;
  }
  return null;
}

/**
 * Whether a single result is sent as JSON. Apollo lists its multipart format first and takes JSON
 * as well; others get what they list first, as urql does JSON.
 */
export function prefersJson(ranges: readonly MediaRange[], framing: StreamFraming): boolean {
  const json = ranges.findIndex(acceptsJson);
  if (framing === MULTIPART || json === -1) return json !== -1;
  return json < ranges.findIndex(({ type }) => type === SSE.contentType);
}

function acceptsJson({ type }: MediaRange): boolean {
  return /^(\*|application)\/(\*|(graphql-response\+)?json)$/.test(type);
}

/** Makes the frame of each result once. */
export function createFrameOf(framing: StreamFraming): FrameOf {
  const frames = new WeakMap<ExecutionResult, Frame>();
  let last: { result: ExecutionResult; frame: Frame } | null = null;
  return result => {
    // Subscribers of one event come one after another.
    if (last?.result === result) return last.frame;
    const frame = frames.get(result) ?? toFrame(framing.frame(jsonOf(result).text));
    frames.set(result, frame);
    last = { result, frame };
    return frame;
  };
}

function toFrame(text: string): Frame {
  const bytes = Buffer.from(text);
  const chunk = Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ]);
  return { bytes: chunk.subarray(-bytes.length - 2, -2), chunk };
}

function toCompleteEvent(isFinal: boolean): string {
  return `event: complete\n${isFinal ? `id: ${COMPLETE_ID}\n` : ''}data:\n\n`;
}
