import { LightSignal, type Signal } from '../signal.ts';

/** A request that several callers share. It is aborted when the last of them leaves. */
export class SharedRequest<T> {
  readonly #left = new LightSignal();
  readonly #result: Promise<T>;
  #waiting = 0;

  /** Calls `start` immediately. Check first that the caller's signal is not aborted. */
  constructor(start: (signal: Signal) => Promise<T>) {
    this.#result = start(this.#left);
    // Callers get the rejection from `join`. Without callers, it must not become an unhandled
    // rejection.
    this.#result.catch(() => {});
  }

  /** Whether every caller has left. The request is aborted then; start a new one. */
  get isAbandoned(): boolean {
    return this.#left.aborted;
  }

  /** The result. Rejects with the signal's reason as soon as that aborts. */
  async join(signal?: Signal): Promise<T> {
    signal?.throwIfAborted();
    this.#waiting++;
    const leave = () => {
      if (--this.#waiting === 0) this.#left.abort(signal?.reason);
    };
    return abortable(this.#result, signal, leave);
  }
}

/**
 * The promise's result. If the signal aborts first, calls `onAbort` and rejects with the signal's
 * reason.
 */
export function abortable<T>(
  promise: Promise<T>,
  signal: Signal | undefined,
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

/** A signal that aborts when all of these have. It never aborts if one of them is undefined. */
export function whenAllAbort(signals: readonly (Signal | undefined)[]): {
  signal: Signal;
  close(): void;
} {
  const all = new LightSignal();
  // Several callers may have the same signal, and a listener is only added to it once.
  const distinct = new Set(signals);
  let left = distinct.size;
  const onAbort = () => {
    if (--left === 0) all.abort(new DOMException('Every caller has left.', 'AbortError'));
  };
  for (const signal of distinct)
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
  return {
    signal: all,
    close() {
      for (const signal of distinct) signal?.removeEventListener('abort', onAbort);
    },
  };
}
