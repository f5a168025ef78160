/**
 * Members that come and go all the time. A Set that lives long would hold on to removed ones until
 * a full garbage collection: it copies its members to a new table now and then, and in V8 each old
 * table refers to the next.
 */
export class Bag<T> {
  readonly #entries: Entry<T>[] = [];

  get size(): number {
    return this.#entries.length;
  }

  /** Adds a member. The returned function removes it, once. */
  add(member: T): () => void {
    const entry: Entry<T> = { member, place: this.#entries.length };
    this.#entries.push(entry);
    return () => this.#remove(entry);
  }

  /** In no particular order. */
  [Symbol.iterator](): IterableIterator<T> {
    return this.#entries.map(({ member }) => member).values();
  }

  #remove(entry: Entry<T>): void {
    const { place } = entry;
    if (this.#entries[place] !== entry) return;
    const last = this.#entries.pop();
    if (last === undefined || last === entry) return;
    this.#entries[place] = last;
    last.place = place;
  }
}

interface Entry<T> {
  member: T;
  place: number;
}
