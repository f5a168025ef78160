/**
 * A stream that can be read without a promise for each value. A reader uses either `next` or `take`, never
 * both. `return` ends it for both.
 */
export interface DirectStream<T> extends AsyncIterableIterator<T> {
  /** The next value or, when the stream has ended, the end. Null if there is no value yet. */
  take(): IteratorResult<T> | null;
  /**
   * Calls `run` each time after a value or the end was added, before the code that added it goes on. Replaces
   * the function of an earlier call. `run` must not throw.
   */
  whenAvailable(run: () => void): void;
}

/** Whether a stream can be read without promises. */
export function isDirect<T>(stream: AsyncIterable<T>): stream is DirectStream<T> {
  return 'take' in stream && 'whenAvailable' in stream;
}
