import type { ExecutionResult } from 'graphql';
import type { MaskError } from '../access/mask-error.ts';
import type { DirectResults } from '../plugins/direct-results.ts';
import { DirectReader, type ResultSink } from './direct-reader.ts';
import { type Text, jsonOf, toText } from './result-json.ts';

/** Writes messages to a socket. */
export interface MessageWriter {
  /**
   * Writes a text message. Returns whether the operating system has taken everything that was
   * written to the socket; otherwise calls `written` of the sink when it has.
   */
  write(text: string, isAscii: boolean, sink: { written(): void }): boolean;
}

/** The connection of operations that graphql-ws has not started. */
export interface OperationConnection {
  readonly output: MessageWriter;
  /** The results of the operation have ended. */
  complete(id: string, results: object): void;
}

/** Writes the results of an operation as `next` messages, without a promise for each. */
abstract class SocketResults implements ResultSink, AsyncIterableIterator<never> {
  protected readonly reader: DirectReader;
  readonly #writer: MessageWriter;
  readonly #opening: Text;
  #isWaiting = false;

  constructor(id: string, results: DirectResults, writer: MessageWriter, maskError: MaskError) {
    this.#writer = writer;
    this.#opening = toText(openingOf(id));
    this.reader = new DirectReader(results, maskError, this);
  }

  isReady(): boolean {
    return !this.#isWaiting;
  }

  write(result: ExecutionResult): void {
    const opening = this.#opening;
    const json = jsonOf(result);
    this.#isWaiting = !this.#writer.write(
      `${opening.text}${json.text}}`,
      opening.isAscii && json.isAscii,
      this,
    );
  }

  written(): void {
    this.#isWaiting = false;
    this.reader.read();
  }

  abstract end(): void;
  abstract next(): Promise<IteratorReturnResult<undefined>>;

  async return(): Promise<IteratorReturnResult<undefined>> {
    this.reader.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/**
 * The results of an operation that graphql-ws has started. It would stringify each message anew and
 * wait for several promises between two. It is given a stream without values instead, which ends
 * with the results.
 */
export class IteratedResults extends SocketResults {
  #isOver = false;
  #onEnd: ((end: IteratorReturnResult<undefined>) => void) | null = null;

  next(): Promise<IteratorReturnResult<undefined>> {
    return new Promise(resolve => {
      this.#onEnd = resolve;
      if (this.#isOver) this.end();
      else this.reader.read();
    });
  }

  end(): void {
    this.#isOver = true;
    this.#onEnd?.({ done: true, value: undefined });
  }

  override return(): Promise<IteratorReturnResult<undefined>> {
    this.end();
    return super.return();
  }
}

/**
 * The results of an operation that graphql-ws has not started. It only ends it: with a `complete`
 * message of the client, or when the socket closes.
 */
export class StartedResults extends SocketResults {
  readonly #id: string;
  readonly #connection: OperationConnection;

  constructor(
    id: string,
    results: DirectResults,
    connection: OperationConnection,
    maskError: MaskError,
  ) {
    super(id, results, connection.output, maskError);
    this.#id = id;
    this.#connection = connection;
  }

  start(): void {
    this.reader.read();
  }

  end(): void {
    this.#connection.complete(this.#id, this);
  }

  next(): Promise<never> {
    throw new Error('Only its end concerns graphql-ws.');
  }
}

function openingOf(id: string): string {
  return `{"id":${JSON.stringify(id)},"type":"next","payload":`;
}
