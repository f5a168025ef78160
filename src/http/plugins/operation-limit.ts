import type { ExecutionResult } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import type { MaskError } from '../access/mask-error.ts';
import type { OperationRecord } from '../observation/operation-records.ts';

/** Refuses operations while as many are under way as there may be, over all transports and clients. */
export function useOperationLimit(
  maxOperations: number,
  maskError: MaskError,
): Plugin<Context & { record?: OperationRecord }> {
  let underWay = 0;

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
    return underWay >= maxOperations;
  }

  function refusal() {
    const message = 'The gateway has too many operations under way.';
    return {
      errors: [maskError(new GatewayError('RATE_LIMITED', message, { retryAfterSeconds: 5 }))],
    };
  }

  async function countPromise<T>(run: () => T | Promise<T>): Promise<T> {
    underWay++;
    try {
      return await run();
    } finally {
      underWay--;
    }
  }

  async function countStream<T>(run: () => T | Promise<T>, record?: OperationRecord): Promise<T> {
    const result = await countPromise(run);
    if (!isAsyncIterable(result)) return result;
    underWay++;
    record?.streamBegan();
    return observeStream(result, {
      onEvent: event => record?.eventSent(event as ExecutionResult),
      onEnd() {
        underWay--;
        record?.streamEnded();
      },
    }) as T;
  }
}

/** The same stream; `onEnd` is called once, when it ends or is left. */
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
