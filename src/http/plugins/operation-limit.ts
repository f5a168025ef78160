import type { ExecutionResult, GraphQLError } from 'graphql';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import type { MaskError } from '../access/mask-error.ts';
import { isDirect } from '../../progress/direct-stream.ts';
import type { DirectContext, DirectResults } from './direct-results.ts';
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
    record?.streamBegan();
    const observer = { close: limit.open(), record };
    if (!isDirect(result)) return new ObservedStream(result[Symbol.asyncIterator](), observer) as T;
    const observed = new DirectObservedStream(result as unknown as DirectResults, observer);
    // Yoga wraps the stream in others that need several promises for each event. Transports find it here.
    context.direct = observed;
    return observed as T;
  }
}

interface StreamObserver {
  /** Called once, when the stream ends or its consumer stops reading. */
  close(): void;
  record: OperationRecord | undefined;
}

/** Notes the events and the end of a stream. */
class ObservedStream<S extends AsyncIterator<unknown>> implements AsyncIterableIterator<unknown> {
  protected readonly results: S;
  readonly #observer: StreamObserver;
  #isOver = false;

  constructor(results: S, observer: StreamObserver) {
    this.results = results;
    this.#observer = observer;
  }

  async next(): Promise<IteratorResult<unknown>> {
    try {
      const next = await this.results.next();
      if (next.done) this.end();
      else this.note(next.value as ExecutionResult);
      return next;
    } catch (error) {
      this.end();
      throw error;
    }
  }

  async return(): Promise<IteratorResult<unknown>> {
    this.end();
    await this.results.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  protected note(event: ExecutionResult): void {
    this.#observer.record?.eventSent(event);
  }

  protected end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#observer.close();
    this.#observer.record?.streamEnded();
  }
}

class DirectObservedStream
  extends ObservedStream<DirectResults>
  implements Pick<DirectResults, 'take' | 'whenAvailable'>
{
  take(): ReturnType<DirectResults['take']> {
    const next = this.results.take();
    if (next === null) return null;
    if (next.done) this.end();
    else if (next.value instanceof Promise)
      next.value.then(
        event => this.note(event),
        () => this.end(),
      );
    else this.note(next.value);
    return next;
  }

  whenAvailable(run: () => void): void {
    this.results.whenAvailable(run);
  }
}
