import type { Span, SpanOptions } from './tracing.ts';

/** Which operation it is, in the logs and metrics. */
export interface OperationIdentity {
  /** `query`, `mutation`, `subscription`, or `unknown` before it is parsed. */
  type: string;
  name: string | null;
  /** The beginning of the SHA-256 of the document. */
  hash: string | null;
}

/** Who waits for an upstream request: an operation, or several that share the request. */
export interface RequestUsage {
  /** Null where it is not traced. */
  readonly span: Span | null;
  /** An upstream request was sent for it, or it joined one that was sent before. */
  sent(): void;
  /** Its request waited for a slot between these moments of the monotonic clock. */
  waited(from: number, until: number): void;
}

/**
 * What one operation, or one poll, takes of upstream. A request that several operations share
 * counts for each of them.
 */
export class OperationUsage implements RequestUsage {
  /** Null where the operation is not traced. */
  readonly span: Span | null;
  #upstreamRequests = 0;
  #waitedMs = 0;
  #waitedUntil = -Infinity;
  #readAt = Infinity;
  #freshUntil = Infinity;
  #hasReceived = false;
  #isPersonal = false;

  constructor(span: Span | null = null) {
    this.span = span;
  }

  /** Upstream requests that the operation waited for, retries included. */
  get upstreamRequests(): number {
    return this.#upstreamRequests;
  }

  /** Milliseconds in which at least one of its requests waited for a slot in the budget. */
  get waitedMs(): number {
    return this.#waitedMs;
  }

  /**
   * When the oldest part of its result was requested from upstream, on the monotonic clock;
   * Infinity if nothing was read.
   */
  get readAt(): number {
    return this.#readAt;
  }

  /** Until when all parts of its result may be served from memory, on the monotonic clock. */
  get freshUntil(): number {
    return this.#freshUntil;
  }

  /**
   * Whether it has received a part of its result, from memory or from upstream: the others may only
   * be newer.
   */
  get hasReceived(): boolean {
    return this.#hasReceived;
  }

  /** Whether its result would be another one for another caller with the same credential. */
  get isPersonal(): boolean {
    return this.#isPersonal;
  }

  /**
   * A part of its result was requested at one moment of the monotonic clock and may be served until
   * another.
   */
  requested(readAt: number, freshUntil: number): void {
    this.#readAt = Math.min(this.#readAt, readAt);
    this.#freshUntil = Math.min(this.#freshUntil, freshUntil);
  }

  /** It has an answer, or an error instead. */
  received(): void {
    this.#hasReceived = true;
  }

  /** Its result would be another one a moment later. */
  markUnique(): void {
    this.#freshUntil = -Infinity;
    this.#hasReceived = true;
  }

  /** Its result would be another one for another caller with the same credential. */
  markPersonal(): void {
    this.#isPersonal = true;
    this.markUnique();
  }

  /**
   * It waited `tookMs` for the result of the same operation of another caller, which had waited
   * `waitedBefore` milliseconds for the budget until then.
   */
  joined(
    { upstreamRequests, waitedMs }: OperationUsage,
    waitedBefore: number,
    tookMs: number,
  ): void {
    this.#upstreamRequests += upstreamRequests;
    this.#waitedMs += Math.min(waitedMs - waitedBefore, tookMs);
  }

  /** An upstream request was sent for it, or it joined one that was sent before. */
  sent(): void {
    this.#upstreamRequests++;
  }

  /** One of its requests waited for a slot between these moments of the monotonic clock. */
  waited(from: number, until: number): void {
    // Requests of one operation wait in parallel: time that was counted for one is not counted
    // again.
    this.#waitedMs += Math.max(0, until - Math.max(from, this.#waitedUntil));
    this.#waitedUntil = Math.max(this.#waitedUntil, until);
  }
}

/** Operations that join an upstream request under way: it counts for each of them from then on. */
export class JoiningUsages implements RequestUsage {
  /** The request is traced as a part of the operation that it began for. */
  readonly span = null;
  readonly #first: Span | null;
  readonly #joined: { usage: OperationUsage; at: number }[] = [];
  #isSent = false;

  /** `first`: the operations that the request begins for. */
  constructor(first: readonly OperationUsage[]) {
    this.#first = first.find(({ span }) => span !== null)?.span ?? null;
  }

  /** `now` is on the monotonic clock. */
  join(usages: readonly OperationUsage[], now: number): void {
    for (const usage of usages) {
      this.#joined.push({ usage, at: now });
      if (this.#isSent) usage.sent();
      if (this.#first !== null) usage.span?.link(this.#first);
    }
  }

  sent(): void {
    this.#isSent = true;
    for (const { usage } of this.#joined) usage.sent();
  }

  waited(from: number, until: number): void {
    for (const { usage, at } of this.#joined) usage.waited(Math.max(from, at), until);
  }
}

/**
 * Starts a span for work that these operations share: within the span of the first, with a link to
 * each. Null where none of them is traced.
 */
export function startSpanFor(
  usages: Iterable<RequestUsage>,
  name: string,
  options: Omit<SpanOptions, 'links'> = {},
): Span | null {
  const links: Span[] = [];
  for (const { span } of usages) if (span !== null) links.push(span);
  return links[0]?.start(name, { ...options, links }) ?? null;
}
