import type { ExecutionResult } from 'graphql';
import type { MaskError } from '../access/mask-error.ts';
import type { DirectResults } from '../plugins/direct-results.ts';
import { DirectReader } from './direct-reader.ts';

/** Writes messages to a socket. */
export interface MessageWriter {
  /**
   * Writes a text message. Returns whether the operating system has taken everything that was written to the
   * socket; otherwise calls `onWritten` when it has.
   */
  write(message: Message, onWritten: () => void): boolean;
}

export interface Message {
  text: string;
  /** Whether each character of it is one byte in UTF-8. */
  isAscii: boolean;
}

/** The JSON of a result. A result that several subscribers share is serialised once. */
export type JsonOf = (result: ExecutionResult) => Message;

// oxlint-disable-next-line no-control-regex
const ASCII = /^[\x00-\x7f]*$/;

export function createJsonOf(): JsonOf {
  const known = new WeakMap<ExecutionResult, Message>();
  return result => {
    const before = known.get(result);
    if (before !== undefined) return before;
    const text = JSON.stringify(result);
    const json = { text, isAscii: ASCII.test(text) };
    known.set(result, json);
    return json;
  };
}

/**
 * Writes the results of an operation as `next` messages. graphql-ws would stringify each message anew and wait
 * for several promises between two. It is given a stream without values instead, which ends with the results.
 */
export class SocketResults implements AsyncIterableIterator<never> {
  readonly #writer: MessageWriter;
  readonly #jsonOf: JsonOf;
  readonly #opening: Message;
  readonly #reader: DirectReader;
  #isWaiting = false;
  #isOver = false;
  #onEnd: ((end: IteratorReturnResult<undefined>) => void) | null = null;

  constructor(
    id: string,
    results: DirectResults,
    maskError: MaskError,
    { writer, jsonOf }: { writer: MessageWriter; jsonOf: JsonOf },
  ) {
    this.#writer = writer;
    this.#jsonOf = jsonOf;
    const text = `{"id":${JSON.stringify(id)},"type":"next","payload":`;
    this.#opening = { text, isAscii: ASCII.test(text) };
    this.#reader = new DirectReader(results, maskError, {
      isReady: () => !this.#isWaiting,
      write: result => this.#write(result),
      end: () => this.#end(),
    });
  }

  next(): Promise<IteratorReturnResult<undefined>> {
    return new Promise(resolve => {
      this.#onEnd = resolve;
      if (this.#isOver) this.#end();
      else this.#reader.read();
    });
  }

  async return(): Promise<IteratorReturnResult<undefined>> {
    this.#reader.close();
    this.#end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #write(result: ExecutionResult): void {
    const opening = this.#opening;
    const json = this.#jsonOf(result);
    const message = {
      text: `${opening.text}${json.text}}`,
      isAscii: opening.isAscii && json.isAscii,
    };
    this.#isWaiting = !this.#writer.write(message, () => {
      this.#isWaiting = false;
      this.#reader.read();
    });
  }

  #end(): void {
    this.#isOver = true;
    this.#onEnd?.({ done: true, value: undefined });
  }
}
