import type { ExecutionResult } from 'graphql';
import type { MaskError } from '../access/mask-error.ts';
import type { DirectResults } from '../plugins/direct-results.ts';

/** Where results are written. */
export interface ResultSink {
  /** Whether a result may be written now. */
  isReady(): boolean;
  /** Writes a result, whose errors are masked. Subscribers of the same event may share it. */
  write(result: ExecutionResult): void;
  /** The results have ended. */
  end(): void;
}

/**
 * Writes results while the sink is ready for them, without a promise for each. The values that wait
 * meanwhile stay in the mailbox, which merges them.
 */
export class DirectReader {
  readonly #results: DirectResults;
  readonly #maskError: MaskError;
  readonly #sink: ResultSink;
  #isReading = false;
  #isOver = false;

  constructor(results: DirectResults, maskError: MaskError, sink: ResultSink) {
    this.#results = results;
    this.#maskError = maskError;
    this.#sink = sink;
    results.whenAvailable(this);
  }

  /** Call when the sink has become ready, and once at the start. */
  read(): void {
    // A write may make the sink ready again, or add a value: the loop below sees both.
    if (this.#isReading || this.#isOver) return;
    this.#isReading = true;
    try {
      while (!this.#isOver && this.#sink.isReady()) {
        const next = this.#results.take();
        if (next === null) break;
        if (next.done) this.#end();
        else if (next.value instanceof Promise) return void this.#writeLater(next.value);
        else this.#write(next.value);
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#isReading = false;
  }

  /** The reader of the sink has left. */
  close(): void {
    this.#isOver = true;
    // The client is no longer connected, so an error has no receiver.
    void this.#results.return?.().catch(() => {});
  }

  #write(result: ExecutionResult): void {
    const { errors } = result;
    this.#sink.write(errors ? { ...result, errors: errors.map(this.#maskError) } : result);
  }

  /** Nothing else is read until the result is there. */
  async #writeLater(result: Promise<ExecutionResult>): Promise<void> {
    try {
      const settled = await result;
      if (!this.#isOver) this.#write(settled);
    } catch (error) {
      this.#fail(error);
    }
    this.#isReading = false;
    this.read();
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    this.#maskError(error);
    this.close();
    this.#sink.end();
  }

  #end(): void {
    this.#isOver = true;
    this.#sink.end();
  }
}
