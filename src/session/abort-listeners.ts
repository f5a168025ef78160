/**
 * Tells waiters when signals abort, with one listener per signal. An EventTarget compares each new
 * listener with all existing ones, and one operation may wait for hundreds of tasks.
 */
export class AbortListeners<Waiter> {
  readonly #waiters = new WeakMap<AbortSignal, Set<Waiter>>();
  readonly #onAbort: (waiter: Waiter) => void;

  constructor(onAbort: (waiter: Waiter) => void) {
    this.#onAbort = onAbort;
  }

  /** The signal must not be aborted yet. */
  add(signal: AbortSignal, waiter: Waiter): void {
    const waiters = this.#waiters.get(signal) ?? this.#open(signal);
    waiters.add(waiter);
  }

  delete(signal: AbortSignal, waiter: Waiter): void {
    this.#waiters.get(signal)?.delete(waiter);
  }

  #open(signal: AbortSignal): Set<Waiter> {
    const waiters = new Set<Waiter>();
    this.#waiters.set(signal, waiters);
    signal.addEventListener('abort', () => waiters.forEach(this.#onAbort), { once: true });
    return waiters;
  }
}
