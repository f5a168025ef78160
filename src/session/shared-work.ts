/** Work that several wait for. It is aborted when the last of them has gone. */
export class SharedWork<T> {
  readonly #controller = new AbortController();
  readonly #result: Promise<T>;
  #waiting = 0;

  constructor(start: (signal: AbortSignal) => Promise<T>) {
    this.#result = start(this.#controller.signal);
    // Whoever waits is told; that nobody does any more is no error.
    this.#result.catch(() => {});
  }

  /** Whether it can still be joined: once given up, it has no result. */
  get isAbandoned(): boolean {
    return this.#controller.signal.aborted;
  }

  /** The result; rejects with the signal's reason as soon as that aborts. */
  join(signal?: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      signal?.throwIfAborted();
      this.#waiting++;
      const leave = () => {
        this.#waiting--;
        signal?.removeEventListener('abort', onAbort);
      };
      const onAbort = () => {
        leave();
        reject(signal?.reason);
        if (this.#waiting === 0) this.#controller.abort(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort);
      this.#result.then(resolve, reject).finally(() => signal?.aborted || leave());
    });
  }
}

/** A signal that aborts once every one of these has; never, where one of those who wait has none. */
export function whenAllAbort(signals: readonly (AbortSignal | undefined)[]): {
  signal: AbortSignal;
  close(): void;
} {
  const controller = new AbortController();
  let left = signals.length;
  const onAbort = () => {
    if (--left === 0)
      controller.abort(new DOMException('Everybody who waited has gone.', 'AbortError'));
  };
  for (const signal of signals) signal?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: controller.signal,
    close() {
      for (const signal of signals) signal?.removeEventListener('abort', onAbort);
    },
  };
}
