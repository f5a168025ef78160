/** What is used of an AbortSignal, which is one: whether and why work is to end. */
export interface Signal {
  readonly aborted: boolean;
  readonly reason: unknown;
  throwIfAborted(): void;
  addEventListener(type: 'abort', listener: () => void, options?: { once: true }): void;
  removeEventListener(type: 'abort', listener: () => void): void;
}

/**
 * A signal for what every operation and every request needs, and few of them abort. Making an
 * AbortSignal takes longer than a read from memory, and an EventTarget compares each new listener
 * with all others, of which an operation may have hundreds.
 */
export class LightSignal implements Signal {
  #aborted: { reason: unknown } | null = null;
  readonly #listeners: (() => void)[] = [];

  get aborted(): boolean {
    return this.#aborted !== null;
  }

  get reason(): unknown {
    return this.#aborted?.reason;
  }

  throwIfAborted(): void {
    if (this.#aborted !== null) throw this.#aborted.reason;
  }

  /** The listener is called once, and must not throw. */
  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.push(listener);
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    // Reads end more or less in the order in which they began.
    const place = this.#listeners.indexOf(listener);
    if (place >= 0) this.#listeners.splice(place, 1);
  }

  /** Later calls do nothing. */
  abort(reason: unknown): void {
    if (this.#aborted !== null) return;
    this.#aborted = { reason };
    // One after another, because a listener may remove others.
    for (let next = this.#listeners.shift(); next; next = this.#listeners.shift()) next();
  }
}
