import type { ExecutionResult, GraphQLError } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import type { MaskError } from '../access/mask-error.ts';
import type { OperationRecord } from '../observation/operation-records.ts';

/** Limits the number of concurrent operations, over all transports and clients. */
export interface OperationLimit {
  /** The result of an operation that is one too many; null if there is room for it. */
  refuse(): { errors: GraphQLError[] } | null;
  /** Counts an operation until it has a result. */
  count<T>(run: () => T | Promise<T>): Promise<T>;
  /** Counts a stream until the returned function is called. */
  open(): () => void;
}

export function createOperationLimit(maxOperations: number, maskError: MaskError): OperationLimit {
  let running = 0;

  return {
    refuse() {
      if (running < maxOperations) return null;
      const message = 'The gateway is executing too many operations.';
      const error = new GatewayError('RATE_LIMITED', message, { retryAfterSeconds: 5 });
      return { errors: [maskError(error)] };
    },
    async count(run) {
      running++;
      try {
        return await run();
      } finally {
        running--;
      }
    },
    open() {
      running++;
      return () => void running--;
    },
  };
}

/** Refuses operations above the limit. */
export function useOperationLimit(
  limit: OperationLimit,
): Plugin<Context & { record?: OperationRecord }> {
  return {
    onExecute({ executeFn, setExecuteFn, setResultAndStopExecution }) {
      const refusal = limit.refuse();
      if (refusal !== null) setResultAndStopExecution(refusal);
      else setExecuteFn(args => limit.count(() => executeFn(args)));
    },
    onSubscribe({ args, subscribeFn, setSubscribeFn, setResultAndStopExecution }) {
      const { record } = args.contextValue;
      const refusal = limit.refuse();
      if (refusal !== null) setResultAndStopExecution(refusal);
      else setSubscribeFn(subscribeArgs => countStream(() => subscribeFn(subscribeArgs), record));
    },
  };

  async function countStream<T>(run: () => T | Promise<T>, record?: OperationRecord): Promise<T> {
    const result = await limit.count(run);
    if (!isAsyncIterable(result)) return result;
    const close = limit.open();
    record?.streamBegan();
    return observeStream(result, {
      onEvent: event => record?.eventSent(event as ExecutionResult),
      onEnd() {
        close();
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
