import type { ExecutionResult, GraphQLError } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import type { MaskError } from '../access/mask-error.ts';
import { type DirectStream, isDirect } from '../../progress/direct-stream.ts';
import type { DirectContext } from '../transports/direct-results.ts';
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
): Plugin<Context & DirectContext & { record?: OperationRecord }> {
  return {
    onExecute({ executeFn, setExecuteFn, setResultAndStopExecution }) {
      const refusal = limit.refuse();
      if (refusal !== null) setResultAndStopExecution(refusal);
      else setExecuteFn(args => limit.count(() => executeFn(args)));
    },
    onSubscribe({ args, subscribeFn, setSubscribeFn, setResultAndStopExecution }) {
      const refusal = limit.refuse();
      if (refusal !== null) setResultAndStopExecution(refusal);
      else
        setSubscribeFn(subscribeArgs =>
          countStream(() => subscribeFn(subscribeArgs), args.contextValue),
        );
    },
  };

  async function countStream<T>(
    run: () => T | Promise<T>,
    context: DirectContext & { record?: OperationRecord },
  ): Promise<T> {
    const { record } = context;
    const result = await limit.count(run);
    if (!isAsyncIterable(result)) return result;
    const close = limit.open();
    record?.streamBegan();
    const observed = observeStream(result as AsyncIterable<ExecutionResult>, {
      onEvent: event => record?.eventSent(event),
      onEnd() {
        close();
        record?.streamEnded();
      },
    });
    // Yoga wraps the stream in others that need several promises for each event. Transports find it here.
    if (isDirect(observed)) context.direct = observed;
    return observed as T;
  }
}

interface StreamObserver {
  onEvent(event: ExecutionResult): void;
  onEnd(): void;
}

/** Wraps a stream; calls `onEnd` once, when the stream ends or its consumer stops reading. */
function observeStream(
  stream: AsyncIterable<ExecutionResult>,
  { onEvent, onEnd }: StreamObserver,
): AsyncIterableIterator<ExecutionResult> {
  const results = stream[Symbol.asyncIterator]();
  let isOver = false;
  const observed: AsyncIterableIterator<ExecutionResult> = {
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
  return isDirect(stream) ? Object.assign(observed, observeDirect(stream)) : observed;

  function observeDirect(direct: DirectStream<ExecutionResult | Promise<ExecutionResult>>) {
    return {
      take() {
        const next = direct.take();
        if (next?.done) end();
        else if (next?.value instanceof Promise) next.value.then(onEvent, end);
        else if (next) onEvent(next.value as ExecutionResult);
        return next;
      },
      whenAvailable: (run: () => void) => direct.whenAvailable(run),
    };
  }

  function end(): void {
    if (isOver) return;
    isOver = true;
    onEnd();
  }
}
