import { GatewayError } from '../errors.ts';
import type { DirectStream } from './direct-stream.ts';

/**
 * The values that a subscriber has not read yet: the newest of each key. A slow subscriber skips values
 * that were replaced by newer ones, but always gets the last. A value may be an error. The error that
 * ends the stream is read last.
 *
 * This is not an async generator, because a generator that is dropped before its first next() never runs
 * its finally block.
 */
export class Mailbox<T> implements DirectStream<T | GatewayError> {
  readonly #join: (earlier: T, later: T) => T;
  readonly #onClose: (() => void)[];
  readonly #pending = new Map<string, T | GatewayError>();
  readonly #readers: ((result: IteratorResult<T | GatewayError>) => void)[] = [];
  #onTaken: ((value: T) => void) | null = null;
  #onAvailable: (() => void) | null = null;
  #error: GatewayError | null = null;
  #isEnded = false;
  #isClosed = false;

  /** `join` merges two unread values of one key. `onClose` is called once, when the stream has ended. */
  constructor(onClose: () => void, join: (earlier: T, later: T) => T = (_, later) => later) {
    this.#onClose = [onClose];
    this.#join = join;
  }

  /** Calls `run` when the stream ends, or at once if it has ended. */
  whenClosed(run: () => void): this {
    if (this.#isClosed) run();
    else this.#onClose.push(run);
    return this;
  }

  /** Calls `run` with each value that the subscriber takes, errors excepted. */
  whenTaken(run: (value: T) => void): this {
    this.#onTaken = run;
    return this;
  }

  whenAvailable(run: () => void): void {
    this.#onAvailable = run;
  }

  /** Adds a value. It replaces or joins the unread value of the same key. */
  put(key: string, value: T | GatewayError): void {
    if (this.#isEnded) return;
    const earlier = this.#pending.get(key);
    const canJoin =
      earlier !== undefined &&
      !(earlier instanceof GatewayError) &&
      !(value instanceof GatewayError);
    this.#pending.set(key, canJoin ? this.#join(earlier, value) : value);
    this.#serve();
  }

  /** Ends the stream after the pending values and, if given, the error have been read. */
  end(error: GatewayError | null = null): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#error = error;
    this.#serve();
    this.#close();
  }

  next(): Promise<IteratorResult<T | GatewayError>> {
    return new Promise(resolve => {
      this.#readers.push(resolve);
      this.#serve();
    });
  }

  /** The subscriber has left: drops unread values and ends the stream. */
  async return(): Promise<IteratorResult<T | GatewayError>> {
    this.#pending.clear();
    this.#isEnded = true;
    this.#error = null;
    this.#serve();
    this.#close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #serve(): void {
    if (this.#onAvailable !== null) {
      this.#onAvailable();
      return;
    }
    while (this.#readers.length > 0) {
      const result = this.take();
      if (result === null) return;
      this.#readers.shift()?.(result);
    }
  }

  take(): IteratorResult<T | GatewayError> | null {
    const [entry] = this.#pending;
    if (entry) {
      this.#pending.delete(entry[0]);
      if (!(entry[1] instanceof GatewayError)) this.#onTaken?.(entry[1]);
      return { done: false, value: entry[1] };
    }
    if (!this.#isEnded) return null;
    if (this.#error === null) return { done: true, value: undefined };
    const value = this.#error;
    this.#error = null;
    return { done: false, value };
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const run of this.#onClose) run();
  }
}
