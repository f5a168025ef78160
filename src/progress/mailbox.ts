import { GatewayError } from '../errors.ts';
import type { AvailabilityReader, DirectStream } from './direct-stream.ts';

/**
 * The values that a subscriber has not read yet: the newest of each key. A slow subscriber skips
 * values that were replaced by newer ones, but always gets the last. A value may be an error. The
 * error that ends the stream is read last.
 *
 * This is not an async generator, because a generator that is dropped before its first next() never
 * runs its finally block.
 */
export class Mailbox<T> implements DirectStream<T | GatewayError> {
  readonly #join: (earlier: T, later: T) => T;
  #onClose: readonly ((mailbox: Mailbox<T>) => void)[];
  // Most streams never have a second unread value. The oldest one needs no map.
  #oldestKey: string | null = null;
  #oldest: T | GatewayError | undefined = undefined;
  #others: Map<string, T | GatewayError> | null = null;
  #readers: ((result: IteratorResult<T | GatewayError>) => void)[] | null = null;
  #onTaken: ((value: T) => void) | null = null;
  #reader: AvailabilityReader | null = null;
  #error: GatewayError | null = null;
  #isEnded = false;
  #isClosed = false;

  /**
   * `join` merges two unread values of one key. `onClose` is called once, when the stream has
   * ended.
   */
  constructor(
    onClose: (mailbox: Mailbox<T>) => void,
    join: (earlier: T, later: T) => T = takeLater,
  ) {
    this.#onClose = [onClose];
    this.#join = join;
  }

  /** Calls `run` when the stream ends, or at once if it has ended. */
  whenClosed(run: (mailbox: Mailbox<T>) => void): this {
    if (this.#isClosed) run(this);
    // Not pushed: that would make room for many more.
    else this.#onClose = this.#onClose.concat(run);
    return this;
  }

  /** Calls `run` with each value that the subscriber takes, errors excepted. */
  whenTaken(run: (value: T) => void): this {
    this.#onTaken = run;
    return this;
  }

  whenAvailable(reader: AvailabilityReader): void {
    this.#reader = reader;
  }

  /** Adds a value. It replaces or joins the unread value of the same key. */
  put(key: string, value: T | GatewayError): void {
    if (this.#isEnded) return;
    if (this.#oldestKey === null) {
      this.#oldestKey = key;
      this.#oldest = value;
    } else if (this.#oldestKey === key) this.#oldest = this.#joined(this.#oldest, value);
    else {
      const others = (this.#others ??= new Map());
      others.set(key, this.#joined(others.get(key), value));
    }
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
      (this.#readers ??= []).push(resolve);
      this.#serve();
    });
  }

  /** The subscriber has left: drops unread values and ends the stream. */
  async return(): Promise<IteratorResult<T | GatewayError>> {
    this.#oldestKey = null;
    this.#oldest = undefined;
    this.#others = null;
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
    while (this.#readers !== null && this.#readers.length > 0) {
      const result = this.take();
      if (result === null) return;
      this.#readers.shift()?.(result);
    }
    this.#reader?.read();
  }

  take(): IteratorResult<T | GatewayError> | null {
    if (this.#oldestKey !== null) {
      const value = this.#oldest as T | GatewayError;
      this.#moveOther();
      if (!(value instanceof GatewayError)) this.#onTaken?.(value);
      return { done: false, value };
    }
    if (!this.#isEnded) return null;
    if (this.#error === null) return { done: true, value: undefined };
    const value = this.#error;
    this.#error = null;
    return { done: false, value };
  }

  /** The next of the others becomes the oldest. */
  #moveOther(): void {
    this.#oldestKey = null;
    this.#oldest = undefined;
    if (this.#others === null) return;
    for (const [key, value] of this.#others) {
      this.#others.delete(key);
      this.#oldestKey = key;
      this.#oldest = value;
      return;
    }
    this.#others = null;
  }

  #joined(earlier: T | GatewayError | undefined, later: T | GatewayError): T | GatewayError {
    const canJoin =
      earlier !== undefined &&
      !(earlier instanceof GatewayError) &&
      !(later instanceof GatewayError);
    return canJoin ? this.#join(earlier, later) : later;
  }

  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const run of this.#onClose) run(this);
  }
}

/** Shared, because a function for each mailbox would take memory. */
function takeLater<T>(_earlier: T, later: T): T {
  return later;
}
