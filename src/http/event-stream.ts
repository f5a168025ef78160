import { Readable } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import { isAsyncIterable } from 'graphql-yoga';

const HEARTBEAT_MS = 12_000;

export interface EventStreamParts {
  onOpen(): void;
  /** Once nobody reads it any more, or it was never read. */
  onClose(wasOpened: boolean): void;
}

/**
 * The results of several operations in one stream. Of each, the next result is asked for when the last one
 * has been taken: what a slow reader has yet to read waits in its mailbox.
 */
export class EventStream extends Readable {
  readonly #onOpen: () => void;
  readonly #onClose: (wasOpened: boolean) => void;
  /** Null while an operation is being started. */
  readonly #operations = new Map<string, AsyncIterator<ExecutionResult> | null>();
  /** At most one of each operation. */
  #ready: { id: string; text: string; taken: () => void }[] = [];
  #heartbeat: NodeJS.Timeout | undefined;
  #isWanted = false;

  constructor({ onOpen, onClose }: EventStreamParts) {
    super({ highWaterMark: 1 });
    this.#onOpen = onOpen;
    this.#onClose = onClose;
  }

  get isOpen(): boolean {
    return this.#heartbeat !== undefined;
  }

  get size(): number {
    return this.#operations.size;
  }

  has(id: string): boolean {
    return this.#operations.has(id);
  }

  open(): void {
    // Some browsers wait for a first byte.
    this.push(':\n\n');
    this.#heartbeat = setInterval(() => {
      if (this.readableLength === 0) this.push(':\n\n');
    }, HEARTBEAT_MS);
    this.#onOpen();
  }

  reserve(id: string): void {
    this.#operations.set(id, null);
  }

  /** Begins to tell the results of an operation, unless it was stopped since it was reserved. */
  start(id: string, result: ExecutionResult | AsyncIterable<ExecutionResult>): void {
    const results = isAsyncIterable(result) ? result[Symbol.asyncIterator]() : only(result);
    if (!this.#operations.has(id)) {
      void leave(results);
      return;
    }
    this.#operations.set(id, results);
    void this.#run(id, results);
  }

  stop(id: string): void {
    const results = this.#operations.get(id);
    this.#operations.delete(id);
    if (results) void leave(results);
    const dropped = this.#ready.filter(frame => frame.id === id);
    this.#ready = this.#ready.filter(frame => frame.id !== id);
    for (const { taken } of dropped) taken();
  }

  async #run(id: string, results: AsyncIterator<ExecutionResult>): Promise<void> {
    const isOurs = () => this.#operations.get(id) === results;
    try {
      for (let next = await results.next(); !next.done; next = await results.next()) {
        if (!isOurs()) return;
        await this.#offer(id, 'next', { id, payload: next.value });
      }
    } catch {
      // Only an abort comes here, for a caller that has gone.
    }
    if (!isOurs()) return;
    this.#operations.delete(id);
    await this.#offer(id, 'complete', { id });
  }

  /** Resolves once the reader has taken it. */
  #offer(id: string, event: 'next' | 'complete', data: object): Promise<void> {
    return new Promise(taken => {
      this.#ready.push({ id, text: `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`, taken });
      this.#serve();
    });
  }

  #serve(): void {
    while (this.#isWanted) {
      const next = this.#ready.shift();
      if (next === undefined) return;
      this.#isWanted = this.push(next.text);
      next.taken();
    }
  }

  override _read(): void {
    this.#isWanted = true;
    this.#serve();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#onClose(this.isOpen);
    clearInterval(this.#heartbeat);
    for (const id of this.#operations.keys()) this.stop(id);
    done(error);
  }
}

async function* only(result: ExecutionResult): AsyncGenerator<ExecutionResult> {
  yield result;
}

async function leave(results: AsyncIterator<ExecutionResult>): Promise<void> {
  // Nobody is left to be told that leaving failed.
  await results.return?.().catch(() => {});
}
