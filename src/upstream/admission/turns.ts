/** Waiters in queues by key. The queues take turns, so that a long one delays only itself. */
export class Turns<W> {
  /** By key; the queue whose turn it is comes first. */
  readonly #queues = new Map<string, Set<W>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  sizeOf(key: string): number {
    return this.#queues.get(key)?.size ?? 0;
  }

  add(key: string, waiter: W): void {
    const queue = this.#queues.get(key) ?? new Set();
    this.#queues.set(key, queue.add(waiter));
    this.#size++;
  }

  delete(key: string, waiter: W): void {
    const queue = this.#queues.get(key);
    if (!queue?.delete(waiter)) return;
    this.#size--;
    if (queue.size === 0) this.#queues.delete(key);
  }

  /** The waiter whose turn it is, who stays in its queue; the turn passes on to the next queue. */
  next(): W | undefined {
    const [first] = this.#queues;
    if (first === undefined) return undefined;
    const [key, queue] = first;
    this.#queues.delete(key);
    this.#queues.set(key, queue);
    const [waiter] = queue;
    return waiter;
  }

  /** How many turns others have before one that joins the queue of this key now. */
  ahead(key: string): number {
    const own = this.sizeOf(key);
    let count = own;
    let isBefore = true;
    for (const [other, { size }] of this.#queues)
      if (other === key) isBefore = false;
      else count += Math.min(size, isBefore ? own + 1 : own);
    return count;
  }

  /** In the order in which they will be served. */
  *[Symbol.iterator](): Generator<W> {
    let queues = [...this.#queues.values()].map(queue => queue.values());
    while (queues.length > 0) {
      const left: typeof queues = [];
      for (const queue of queues) {
        const { value, done } = queue.next();
        if (done) continue;
        yield value;
        left.push(queue);
      }
      queues = left;
    }
  }
}
