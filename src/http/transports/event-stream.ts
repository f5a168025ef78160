import { Readable } from 'node:stream';
import type { ExecutionResult } from 'graphql';
import { isAsyncIterable } from 'graphql-yoga';
import { LightSignal, type Signal } from '../../signal.ts';
import { jsonOf } from './result-json.ts';

const HEARTBEAT_MS = 12_000;

/** An operation of a stream, from the reservation of its id. */
export interface StreamOperation {
  readonly id: string;
  /** Null until the operation has started. */
  results: AsyncIterator<ExecutionResult> | null;
  /** Whether it is a query or a mutation, with a single result. */
  isAnswer: boolean;
  /** Aborts once the stream has no such operation any more. */
  readonly signal: Signal;
}

/** As only its stream sees it. */
interface RunningOperation extends StreamOperation {
  readonly signal: LightSignal;
}

export interface EventStreamParts {
  onOpen(): void;
  /** Called when the stream is destroyed. */
  onClose(wasOpened: boolean): void;
}

/**
 * Sends the results of several operations in one stream. The next result of an operation is pulled
 * when the last one was read, so that the mailbox can merge events while the reader is slow.
 */
export class EventStream extends Readable {
  readonly #onOpen: () => void;
  readonly #onClose: (wasOpened: boolean) => void;
  readonly #operations = new Map<string, RunningOperation>();
  /** Frames to be read, at most one per operation. */
  #ready: { id: string; text: string; onRead: () => void }[] = [];
  #heartbeat: NodeJS.Timeout | undefined;
  /** Whether the reader can take more data. */
  #isReading = false;
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
    // Some browsers do not report the stream as open before its first byte.
    this.push(':\n\n');
    this.#heartbeat = setInterval(() => {
      if (this.readableLength === 0) this.push(':\n\n');
    }, HEARTBEAT_MS);
    this.#onOpen();
  }

  /** Reserves an id for an operation. Check with `has` first that it is free. */
  reserve(id: string): StreamOperation {
    const operation = { id, results: null, isAnswer: false, signal: new LightSignal() };
    this.#operations.set(id, operation);
    return operation;
  }

  /** Starts to send the results of an operation, unless it was stopped since it was reserved. */
  start(
    operation: StreamOperation,
    result: ExecutionResult | AsyncIterable<ExecutionResult>,
  ): void {
    const results = isAsyncIterable(result) ? result[Symbol.asyncIterator]() : only(result);
    operation.results = results;
    operation.isAnswer = !isAsyncIterable(result);
    if (this.#isActive(operation)) void this.#run(operation, results);
    else void closeResults(results);
    this.#interruptIfAnswered();
  }

  /** Frees the id of an operation that did not start. */
  release(operation: StreamOperation): void {
    this.#remove(operation);
    this.#interruptIfAnswered();
  }

  stop(id: string): void {
    const operation = this.#operations.get(id);
    if (operation) this.#remove(operation);
    if (operation?.results) void closeResults(operation.results);
    const dropped = this.#ready.filter(frame => frame.id === id);
    this.#ready = this.#ready.filter(frame => frame.id !== id);
    for (const { onRead } of dropped) onRead();
  }

  /**
   * Ends the stream once its queries and mutations are answered. Each subscription gets `payload`
   * as its last event, and no `complete`: clients connect again.
   */
  interrupt(payload: object): void {
    this.#interruption = payload;
    this.#interruptIfAnswered();
  }

  /** Whether the stream has its last event and accepts no further operations. */
  get isOver(): boolean {
    return this.#isOver;
  }

  #interruptIfAnswered(): void {
    if (this.#interruption === null || this.#isOver) return;
    const operations = [...this.#operations.values()];
    if (operations.some(({ results, isAnswer }) => results === null || isAnswer)) return;
    const payload = this.#interruption;
    const last = operations.map(({ id }) => frameOf('next', JSON.stringify({ id, payload })));
    const unread = this.#ready.map(({ text }) => text);
    for (const { id } of operations) this.stop(id);
    this.#isOver = true;
    this.#ready = [];
    clearInterval(this.#heartbeat);
    this.push([...unread, ...last].join(''));
    this.push(null);
  }

  #isActive(operation: StreamOperation): boolean {
    return this.#operations.get(operation.id) === operation;
  }

  #remove({ id, signal }: StreamOperation): void {
    const operation = this.#operations.get(id);
    // Another operation may have its id by now.
    if (operation?.signal !== signal) return;
    this.#operations.delete(id);
    operation.signal.abort(new DOMException('The client has stopped the operation.', 'AbortError'));
  }

  async #run(operation: StreamOperation, results: AsyncIterator<ExecutionResult>): Promise<void> {
    const { id } = operation;
    try {
      for (let next = await results.next(); !next.done; next = await results.next()) {
        if (!this.#isActive(operation)) return;
        const idJson = JSON.stringify(id);
        const data = `{"id":${idJson},"payload":${jsonOf(next.value).text}}`;
        await this.#enqueue(id, 'next', data);
      }
    } catch {
      // Results only fail when they are aborted because the client has disconnected.
    }
    if (!this.#isActive(operation)) return;
    this.#remove(operation);
    await this.#enqueue(id, 'complete', JSON.stringify({ id }));
    this.#interruptIfAnswered();
  }

  /** Resolves when the frame was read. */
  #enqueue(id: string, event: 'next' | 'complete', data: string): Promise<void> {
    return new Promise(onRead => {
      if (this.#isOver) return onRead();
      this.#ready.push({ id, text: frameOf(event, data), onRead });
      return this.#serve();
    });
  }

  #serve(): void {
    while (this.#isReading) {
      const next = this.#ready.shift();
      if (next === undefined) return;
      this.#isReading = this.push(next.text);
      next.onRead();
    }
  }

  override _read(): void {
    this.#isReading = true;
    this.#serve();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#onClose(this.isOpen);
    clearInterval(this.#heartbeat);
    for (const id of this.#operations.keys()) this.stop(id);
    done(error);
  }
}

function frameOf(event: 'next' | 'complete', data: string): string {
  return `event: ${event}\ndata: ${data}\n\n`;
}

async function* only(result: ExecutionResult): AsyncGenerator<ExecutionResult> {
  yield result;
}

async function closeResults(results: AsyncIterator<ExecutionResult>): Promise<void> {
  // The client is no longer connected, so an error has no receiver.
  await results.return?.().catch(() => {});
}
