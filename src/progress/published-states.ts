// More tasks than any instance watches; the oldest are forgotten, which costs one publication each.
const MAX_STATES = 100_000;

/**
 * Which state of each task every subscriber in the group knows, by etag. Each instance keeps it from the
 * group's messages, so that the one that polls next goes on where the last one stopped.
 */
export class PublishedStates {
  readonly #etags = new Map<string, string | null>();

  /** Null: subscribers know different states, or none. Undefined: no state was heard of. */
  etagOf(id: string): string | null | undefined {
    return this.#etags.get(id);
  }

  /** All subscribers of the group were sent this state. */
  published(id: string, etag: string): void {
    this.#set(id, etag);
  }

  /** A subscriber has come who knows this state. */
  subscribed(id: string, etag: string | null): void {
    const known = this.#etags.get(id);
    this.#set(id, known === undefined || known === etag ? etag : null);
  }

  forget(id: string): void {
    this.#etags.delete(id);
  }

  clear(): void {
    this.#etags.clear();
  }

  #set(id: string, etag: string | null): void {
    // Last again: the first is the one that was longest unheard of.
    this.#etags.delete(id);
    this.#etags.set(id, etag);
    for (const oldest of this.#etags.keys()) {
      if (this.#etags.size <= MAX_STATES) return;
      this.#etags.delete(oldest);
    }
  }
}
