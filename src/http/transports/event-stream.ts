import { Readable } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import { isAsyncIterable } from 'graphql-yoga';

const HEARTBEAT_MS = 12_000;

/** An operation of a stream, from when its id is taken. */
export interface StreamOperation {
  readonly id: string;
  /** Null while it is being started. */
  results: AsyncIterator<ExecutionResult> | null;
  /** Whether it has one result: it is a query or a mutation. */
  isAnswer: boolean;
}

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
  readonly #operations = new Map<string, StreamOperation>();
  /** At most one of each operation. */
  #ready: { id: string; text: string; taken: () => void }[] = [];
  #heartbeat: NodeJS.Timeout | undefined;
  #isWanted = false;
  #interruption: object | null = null;
  #isOver = false;

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

  /** A place for an operation of this id, which no other has. */
  reserve(id: string): StreamOperation {
    const operation = { id, results: null, isAnswer: false };
    this.#operations.set(id, operation);
    return operation;
  }

  /** Begins to tell the results of an operation, unless it was stopped since it was reserved. */
  start(
    operation: StreamOperation,
    result: ExecutionResult | AsyncIterable<ExecutionResult>,
  ): void {
    const results = isAsyncIterable(result) ? result[Symbol.asyncIterator]() : only(result);
    operation.results = results;
    operation.isAnswer = !isAsyncIterable(result);
    if (this.#isUnderWay(operation)) void this.#run(operation, results);
    else void leave(results);
    this.#interruptIfAnswered();
  }

  /** Gives a place back whose operation did not begin. */
  release(operation: StreamOperation): void {
    if (this.#isUnderWay(operation)) this.#operations.delete(operation.id);
    this.#interruptIfAnswered();
  }

  stop(id: string): void {
    const operation = this.#operations.get(id);
    this.#operations.delete(id);
    if (operation?.results) void leave(operation.results);
    const dropped = this.#ready.filter(frame => frame.id === id);
    this.#ready = this.#ready.filter(frame => frame.id !== id);
    for (const { taken } of dropped) taken();
  }

  /**
   * Ends the stream once its queries and mutations are answered. Each subscription gets `payload` as its last event,
   * and no `complete`: clients connect again.
   */
  interrupt(payload: object): void {
    this.#interruption = payload;
    this.#interruptIfAnswered();
  }

  /** Whether the stream has got its last event. It takes no further operations. */
  get isOver(): boolean {
    return this.#isOver;
  }

  #interruptIfAnswered(): void {
    if (this.#interruption === null || this.#isOver) return;
    const operations = [...this.#operations.values()];
    if (operations.some(({ results, isAnswer }) => results === null || isAnswer)) return;
    const payload = this.#interruption;
    const last = operations.map(({ id }) => frameOf('next', { id, payload }));
    const unread = this.#ready.map(({ text }) => text);
    for (const { id } of operations) this.stop(id);
    this.#isOver = true;
    this.#ready = [];
    clearInterval(this.#heartbeat);
    this.push([...unread, ...last].join(''));
    this.push(null);
  }

  #isUnderWay(operation: StreamOperation): boolean {
    return this.#operations.get(operation.id) === operation;
  }

  async #run(operation: StreamOperation, results: AsyncIterator<ExecutionResult>): Promise<void> {
    const { id } = operation;
    try {
      for (let next = await results.next(); !next.done; next = await results.next()) {
        if (!this.#isUnderWay(operation)) return;
        await this.#offer(id, 'next', { id, payload: next.value });
      }
    } catch {
      // Only an abort comes here, for a caller that has gone.
    }
    if (!this.#isUnderWay(operation)) return;
    this.#operations.delete(id);
    await this.#offer(id, 'complete', { id });
    this.#interruptIfAnswered();
  }

  /** Resolves once the reader has taken it. */
  #offer(id: string, event: 'next' | 'complete', data: object): Promise<void> {
    return new Promise(taken => {
      if (this.#isOver) return taken();
      this.#ready.push({ id, text: frameOf(event, data), taken });
      return this.#serve();
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

function frameOf(event: 'next' | 'complete', data: object): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}

async function* only(result: ExecutionResult): AsyncGenerator<ExecutionResult> {
  yield result;
}

async function leave(results: AsyncIterator<ExecutionResult>): Promise<void> {
  // Nobody is left to be told that leaving failed.
  await results.return?.().catch(() => {});
}
