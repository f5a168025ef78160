/**
 * A stream that can be read without a promise for each value. A reader uses either `next` or
 * `take`, never both. `return` ends it for both.
 */
export interface DirectStream<T> extends AsyncIterableIterator<T> {
  /** The next value or, when the stream has ended, the end. Null if there is no value yet. */
  take(): IteratorResult<T> | null;
  /**
   * Calls `read` of the reader each time after a value or the end was added, before the code that
   * added it goes on. Replaces an earlier reader. `read` must not throw.
   */
  whenAvailable(reader: AvailabilityReader): void;
}

/**
 * Reads what has become available. An object, because a function for each stream would take more
 * memory.
 */
export interface AvailabilityReader {
  read(): void;
}

/** Whether a stream can be read without promises. */
export function isDirect<T>(stream: AsyncIterable<T>): stream is DirectStream<T> {
  return 'take' in stream && 'whenAvailable' in stream;
}
