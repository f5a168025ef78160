/**
 * Runs callbacks when signals abort, with one listener per signal. An EventTarget compares each new
 * listener with all existing ones, and one operation may wait for hundreds of tasks.
 */
export class AbortListeners {
  readonly #callbacks = new WeakMap<AbortSignal, Set<() => void>>();

  /** The signal must not be aborted yet. The returned function removes the callback. */
  listen(signal: AbortSignal, callback: () => void): () => void {
    const callbacks = this.#callbacks.get(signal) ?? this.#open(signal);
    callbacks.add(callback);
    return () => void callbacks.delete(callback);
  }

  #open(signal: AbortSignal): Set<() => void> {
    const callbacks = new Set<() => void>();
    this.#callbacks.set(signal, callbacks);
    signal.addEventListener('abort', () => callbacks.forEach(callback => callback()), {
      once: true,
    });
    return callbacks;
  }
}
