import type { ExecutionResult, GraphQLError } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import type { MaskError } from '../access/mask-error.ts';
import { type AvailabilityReader, isDirect } from '../../progress/direct-stream.ts';
import { type DirectContext, type DirectResults, PulledResults } from './direct-results.ts';
import type { OperationRecord } from '../observation/operation-records.ts';

/** Limits the number of concurrent operations, over all transports and clients. */
export interface OperationLimit {
  /** The result of an operation that is one too many; null if there is room for it. */
  refuse(): { errors: GraphQLError[] } | null;
  /** Counts an operation until it has a result. */
  count<T>(run: () => T | Promise<T>): Promise<T>;
  /** Counts a stream until `close` is called. */
  open(): void;
  close(): void;
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
    },
    close() {
      running--;
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
        setSubscribeFn(async subscribeArgs => {
          const context = args.contextValue;
          const observed = await countStream(
            limit,
            () => subscribeFn(subscribeArgs),
            context.record,
          );
          // Yoga wraps the stream in others that need several promises for each event. Transports
          // find it here.
          if (observed instanceof ObservedStream) context.direct = observed;
          return observed;
        });
    },
  };
}

/** Starts a subscription, counts it, and notes its events and its end. */
export async function countStream<T>(
  limit: OperationLimit,
  run: () => T | Promise<T>,
  record: OperationRecord | undefined,
): Promise<T> {
  const result = await limit.count(run);
  if (!isAsyncIterable(result)) return result;
  record?.streamBegan();
  limit.open();
  const results = isDirect(result)
    ? (result as unknown as DirectResults)
    : new PulledResults(result[Symbol.asyncIterator]() as AsyncIterator<ExecutionResult>);
  return new ObservedStream(results, limit, record) as T;
}

/** Notes the events and the end of a stream. */
class ObservedStream implements DirectResults, AsyncIterableIterator<unknown> {
  readonly #results: DirectResults;
  readonly #limit: OperationLimit;
  readonly #record: OperationRecord | undefined;
  #isOver = false;

  constructor(results: DirectResults, limit: OperationLimit, record: OperationRecord | undefined) {
    this.#results = results;
    this.#limit = limit;
    this.#record = record;
  }

  take(): ReturnType<DirectResults['take']> {
    const next = this.#results.take();
    if (next === null) return null;
    if (next.done) this.#end();
    else if (next.value instanceof Promise)
      next.value.then(
        event => this.#note(event),
        () => this.#end(),
      );
    else this.#note(next.value);
    return next;
  }

  whenAvailable(reader: AvailabilityReader): void {
    this.#results.whenAvailable(reader);
  }

  async next(): Promise<IteratorResult<unknown>> {
    try {
      const next = await this.#results.next();
      if (next.done) this.#end();
      else this.#note(next.value as ExecutionResult);
      return next;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<unknown>> {
    this.#end();
    await this.#results.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #note(event: ExecutionResult): void {
    this.#record?.eventSent(event);
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#limit.close();
    this.#record?.streamEnded();
  }
}
