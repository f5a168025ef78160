/** What reads use of an AbortSignal: it says when a caller has left. */
export interface ReadSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  addEventListener(type: 'abort', listener: () => void, options?: { once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/**
 * The signal of one operation, which most operations never abort. Making an AbortSignal takes longer than a read from
 * memory, and an EventTarget compares each new listener with all others, of which an operation may have hundreds.
 */
export class OperationSignal implements ReadSignal {
  #aborted: { reason: unknown } | null = null;
  #listeners: (() => void)[] = [];

  get aborted(): boolean {
    return this.#aborted !== null;
  }

  get reason(): unknown {
    return this.#aborted?.reason;
  }

  throwIfAborted(): void {
    if (this.#aborted !== null) throw this.#aborted.reason;
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    // Reads end in the order in which they began, more or less.
    const place = this.#listeners.indexOf(listener);
    if (place >= 0) this.#listeners.splice(place, 1);
  }

  /** Later calls do nothing. */
  abort(reason: unknown): void {
    if (this.#aborted !== null) return;
    this.#aborted = { reason };
    for (const listener of this.#listeners.splice(0)) listener();
  }
}

/** An AbortSignal for what needs one. It aborts when this signal does. */
export function toAbortSignal(signal: ReadSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  const controller = new AbortController();
  if (signal.aborted) controller.abort(signal.reason);
  else
    signal.addEventListener('abort', () => controller.abort(signal.reason), {
      once: true,
    });
  return controller.signal;
}
