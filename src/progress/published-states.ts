// More tasks than an instance ever watches. Forgetting the oldest only means that its state is
// published once more.
const MAX_STATES = 100_000;

/**
 * The etag of each task's state that every subscriber in the group has been sent. Each instance
 * builds this from the group messages, so any of them can take over the polling without publishing
 * everything again.
 */
export class PublishedStates {
  readonly #etags = new Map<string, string | null>();

  /** Null: subscribers have different states, or none. Undefined: no state is known. */
  etagOf(id: string): string | null | undefined {
    return this.#etags.get(id);
  }

  /** This state was sent to all subscribers of the group. */
  published(id: string, etag: string): void {
    this.#set(id, etag);
  }

  /** A new subscriber has this state; null if it has none. */
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
    // Move the id to the end, so that the first entries are the ones updated longest ago.
    this.#etags.delete(id);
    this.#etags.set(id, etag);
    for (const oldest of this.#etags.keys()) {
      if (this.#etags.size <= MAX_STATES) return;
      this.#etags.delete(oldest);
    }
  }
}
