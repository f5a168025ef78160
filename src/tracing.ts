/** Values that a span may carry. They never hold a token, a header or a variable of an operation. */
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
  /** Ends it; with a code, as failed for that reason. */
  end(failureCode?: string): void;
}

/** Starts spans that have no parent here. */
export interface Tracer {
  /** `traceparent` is the header of the request that asked for the work; null where it had none. */
  start(name: string, options?: SpanOptions, traceparent?: string | null): Span;
  /** Sends what has ended to the collector. */
  close(): Promise<void>;
}
