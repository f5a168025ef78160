import type { Span, SpanOptions } from './tracing.ts';

/** What one operation takes of upstream. A request that several operations share counts for each of them. */
export class OperationUsage {
  /** Null where the operation is not traced. */
  readonly span: Span | null;
  #upstreamRequests = 0;
  #waitedMs = 0;
  #waitedUntil = -Infinity;

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

  /** An upstream request was sent for it, or it joined one that was sent before. */
  sent(): void {
    this.#upstreamRequests++;
  }

  /** One of its requests waited for a slot between these moments of the monotonic clock. */
  waited(from: number, until: number): void {
    // Requests of one operation wait in parallel: time that was counted for one is not counted again.
    this.#waitedMs += Math.max(0, until - Math.max(from, this.#waitedUntil));
    this.#waitedUntil = Math.max(this.#waitedUntil, until);
  }
}

/**
 * Starts a span for work that these operations share: within the span of the first, with a link to each. Null
 * where none of them is traced.
 */
export function startSpanFor(
  usages: Iterable<OperationUsage>,
  name: string,
  options: Omit<SpanOptions, 'links'> = {},
): Span | null {
  const links: Span[] = [];
  for (const { span } of usages) if (span !== null) links.push(span);
  return links[0]?.start(name, { ...options, links }) ?? null;
}
