import type { ExecutionResult } from 'graphql';
import type { AvailabilityReader, DirectStream } from '../../progress/direct-stream.ts';

/** The results of a subscription. Their errors are not masked yet. */
export type DirectResults = Pick<
  DirectStream<ExecutionResult | Promise<ExecutionResult>>,
  'take' | 'whenAvailable'
> &
  AsyncIterator<unknown>;

/** The part of an operation's context in which its direct results are passed to the transport. */
export interface DirectContext {
  /** The same results as those of the stream that `subscribe` returns. */
  direct?: DirectResults;
}

/**
 * Reads results that come with a promise each. The next is pulled when a reader wants it, never
 * before.
 */
export class PulledResults implements DirectResults {
  readonly #results: AsyncIterator<ExecutionResult>;
  #reader: AvailabilityReader | null = null;
  #isPulling = false;
  #pulled: IteratorResult<ExecutionResult> | Promise<never> | null = null;

  constructor(results: AsyncIterator<ExecutionResult>) {
    this.#results = results;
  }

  take(): ReturnType<DirectResults['take']> {
    const pulled = this.#pulled;
    this.#pulled = null;
    if (pulled === null) this.#pull();
    return pulled instanceof Promise ? { done: false, value: pulled } : pulled;
  }

  whenAvailable(reader: AvailabilityReader): void {
    this.#reader = reader;
  }

  next(): Promise<IteratorResult<unknown>> {
    return this.#results.next();
  }

  async return(): Promise<IteratorResult<unknown>> {
    await this.#results.return?.();
    return { done: true, value: undefined };
  }

  #pull(): void {
    if (this.#isPulling) return;
    this.#isPulling = true;
    const pulling = this.#results.next();
    const settle = (pulled: IteratorResult<ExecutionResult> | Promise<never>) => {
      this.#isPulling = false;
      this.#pulled = pulled;
      this.#reader?.read();
    };
    pulling.then(settle, () => settle(pulling as Promise<never>));
  }
}
