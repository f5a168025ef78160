import type { ExecutionResult } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import type { MaskError } from '../access/mask-error.ts';
import type { OperationRecord } from '../observation/operation-records.ts';

/** Limits the number of concurrent operations, over all transports and clients. */
export function useOperationLimit(
  maxOperations: number,
  maskError: MaskError,
): Plugin<Context & { record?: OperationRecord }> {
  let running = 0;

  return {
    onExecute({ executeFn, setExecuteFn, setResultAndStopExecution }) {
      if (isFull()) setResultAndStopExecution(refusal());
      else setExecuteFn(args => countPromise(() => executeFn(args)));
    },
    onSubscribe({ args, subscribeFn, setSubscribeFn, setResultAndStopExecution }) {
      const { record } = args.contextValue;
      if (isFull()) setResultAndStopExecution(refusal());
      else setSubscribeFn(subscribeArgs => countStream(() => subscribeFn(subscribeArgs), record));
    },
  };

  function isFull(): boolean {
    return running >= maxOperations;
  }

  function refusal() {
    const message = 'The gateway is executing too many operations.';
    return {
      errors: [maskError(new GatewayError('RATE_LIMITED', message, { retryAfterSeconds: 5 }))],
    };
  }

  async function countPromise<T>(run: () => T | Promise<T>): Promise<T> {
    running++;
    try {
      return await run();
    } finally {
      running--;
    }
  }

  async function countStream<T>(run: () => T | Promise<T>, record?: OperationRecord): Promise<T> {
    const result = await countPromise(run);
    if (!isAsyncIterable(result)) return result;
    running++;
    record?.streamBegan();
    return observeStream(result, {
      onEvent: event => record?.eventSent(event as ExecutionResult),
      onEnd() {
        running--;
        record?.streamEnded();
      },
    }) as T;
  }
}

/** Wraps a stream; calls `onEnd` once, when the stream ends or its consumer stops reading. */
function observeStream(
  stream: AsyncIterable<unknown>,
  { onEvent, onEnd }: { onEvent(event: unknown): void; onEnd(): void },
): AsyncIterableIterator<unknown> {
  const results = stream[Symbol.asyncIterator]();
  let isOver = false;
  return {
    async next() {
      try {
        const next = await results.next();
        if (next.done) end();
        else onEvent(next.value);
        return next;
      } catch (error) {
        end();
        throw error;
      }
    },
    async return() {
      end();
      await results.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };

  function end(): void {
    if (isOver) return;
    isOver = true;
    onEnd();
  }
}
