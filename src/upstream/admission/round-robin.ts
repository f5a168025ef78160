/** Waiters in queues by key, served round robin, so that a long queue delays only itself. */
export class RoundRobin<W> {
  /** By key. The first queue is served next. */
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

  /** The next waiter, which stays in its queue. The turn passes to the next queue. */
  next(): W | undefined {
    const [first] = this.#queues;
    if (first === undefined) return undefined;
    const [key, queue] = first;
    this.#queues.delete(key);
    this.#queues.set(key, queue);
    const [waiter] = queue;
    return waiter;
  }

  /** How many waiters are served before one that would be added under this key now. */
  ahead(key: string): number {
    const own = this.sizeOf(key);
    let count = own;
    let isBefore = true;
    for (const [other, { size }] of this.#queues)
      if (other === key) isBefore = false;
      else count += Math.min(size, isBefore ? own + 1 : own);
    return count;
  }

  /** The waiters in the order in which they are served. */
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
