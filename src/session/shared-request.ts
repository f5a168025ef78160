/** One request on behalf of several callers. It is aborted when the last of them has left. */
export class SharedRequest<T> {
  readonly #controller = new AbortController();
  readonly #result: Promise<T>;
  #waiting = 0;

  /** Starts at once: check that the first caller is still there before. */
  constructor(start: (signal: AbortSignal) => Promise<T>) {
    this.#result = start(this.#controller.signal);
    // Each caller is told by `join`; a failure that no caller waits for is not an error.
    this.#result.catch(() => {});
  }

  /** Whether every caller has left. There is no result to wait for then: start another. */
  get isAbandoned(): boolean {
    return this.#controller.signal.aborted;
  }

  /** The result. Rejects with the signal's reason as soon as the caller leaves. */
  async join(signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    this.#waiting++;
    const leave = () => {
      if (--this.#waiting === 0) this.#controller.abort(signal?.reason);
    };
    return abortable(this.#result, signal, leave);
  }
}

/** The promise's result, or a rejection with the signal's reason once that aborts, after `onAbort`. */
export function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  onAbort: () => void = () => {},
): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const leave = () => {
      onAbort();
      reject(signal.reason);
    };
    signal.addEventListener('abort', leave, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
    if (signal.aborted) leave();
  });
}

/** A signal that aborts once every one of these has. It never does where a caller has no signal. */
export function whenAllAbort(signals: readonly (AbortSignal | undefined)[]): {
  signal: AbortSignal;
  close(): void;
} {
  const controller = new AbortController();
  // Several callers may have the same signal, and a listener is only added to it once.
  const distinct = new Set(signals);
  let left = distinct.size;
  const onAbort = () => {
    if (--left === 0) controller.abort(new DOMException('Every caller has left.', 'AbortError'));
  };
  for (const signal of distinct)
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: controller.signal,
    close() {
      for (const signal of distinct) signal?.removeEventListener('abort', onAbort);
    },
  };
}
