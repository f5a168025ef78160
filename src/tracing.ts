/**
 * Values that a span may carry. They never hold a token, a header or a variable of an operation.
 */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** How a span begins. */
export interface SpanOptions {
  attributes?: SpanAttributes;
  /** Other spans that it works for, besides its parent. */
  links?: readonly Span[];
  /** When it began, in milliseconds since the epoch; by default now. */
  startedAt?: number;
}

/** A part of the work for one operation, as it is reported to a trace collector. */
export interface Span {
  /** For the header of a request that is sent as part of it; null where there is none to send. */
  readonly traceparent: string | null;
  /** Starts a span within this one. */
  start(name: string, options?: SpanOptions): Span;
  set(attributes: SpanAttributes): void;
  /** Adds a link to a span that it depends on, besides its parent. */
  link(other: Span): void;
  /**
   * Ends it; with a code, as failed for that reason. `endedAt`: in milliseconds since the epoch; by
   * default now.
   */
  end(failureCode?: string, endedAt?: number): void;
}

/** Starts spans that have no parent here. */
export interface Tracer {
  /** `traceparent` is the header of the request that asked for the work; null where it had none. */
  start(name: string, options?: SpanOptions, traceparent?: string | null): Span;
  /** Sends what has ended to the collector. */
  close(): Promise<void>;
}

/** The span that a `traceparent` header names, whose trace goes on here. */
export interface RemoteSpan {
  traceId: string;
  spanId: string;
  isSampled: boolean;
}

const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;

/**
 * Null for a header that is to be ignored (W3C Trace Context, section 3.2). Later versions may add
 * to it.
 */
export function readTraceparent(header: string | null): RemoteSpan | null {
  if (header === null) return null;
  const [, version = '', traceId = '', spanId = '', flags = '', more] =
    TRACEPARENT.exec(header) ?? [];
  if (version === 'ff' || (version === '00' && more !== undefined)) return null;
  // Also where it does not match.
  if (!/[^0]/.test(traceId) || !/[^0]/.test(spanId)) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 };
}
