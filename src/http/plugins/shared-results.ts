import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  createSourceEventStream,
  execute,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Clock } from '../../clock.ts';
import { GatewayError } from '../../errors.ts';
import type { Context } from '../../graphql/builder.ts';
import type { ExecutePlanned } from '../../graphql/execution/execute.ts';
import {
  type AvailabilityReader,
  type DirectStream,
  isDirect,
} from '../../progress/direct-stream.ts';
import type { DirectResults } from './direct-results.ts';
import { withOmitted } from './omitted-rows.ts';

interface SharedResult {
  result: ExecutionResult;
  /** On the monotonic clock. */
  executedAt: number;
}

const NOT_SUBSCRIBABLE =
  'The operation cannot be subscribed to: it selects no field, or its variables are not an object.';

// Fields such as `elapsedSeconds` depend on the time of delivery. A subscriber that reads the event
// later than this gets a result of its own.
const SHARED_FOR_MS = 100;

/** Starts a subscription. Its results are shared with other subscribers. */
export type Subscribe = (
  args: ExecutionArgs,
) => Promise<ExecutionResult | AsyncIterableIterator<ExecutionResult>>;

export function useSharedResults(subscribe: Subscribe): Plugin<Context> {
  return {
    onSubscribe: ({ setSubscribeFn }) => setSubscribeFn(subscribe),
  };
}

/**
 * Executes an event once for all subscribers with the same selection, who share the result.
 *
 * Subscribers of one watch receive the same event object, and equal documents are parsed once, so
 * both can be compared by identity. They also have the same credential, because a watch belongs to
 * a session. Asynchronous results are not shared, so that a subscriber who disconnects does not
 * abort the others' result.
 */
export function createSubscribe(
  executePlanned: ExecutePlanned,
  clock: Pick<Clock, 'monotonic'>,
): Subscribe {
  const results = new WeakMap<object, WeakMap<DocumentNode, Map<string, SharedResult>>>();

  return async args => {
    const events = await subscribeTo(args);
    if (!(Symbol.asyncIterator in events)) return events;
    const key = JSON.stringify([args.operationName, args.variableValues]);
    const subscription = { args, key, execute: executeShared };
    return isDirect(events)
      ? new DirectEventResults(events, subscription)
      : new EventResults(events[Symbol.asyncIterator](), subscription);
  };

  function executeShared({ args: subscription, key }: Subscription, event: object) {
    const byDocument = getOrAdd(
      results,
      event,
      () => new WeakMap<DocumentNode, Map<string, SharedResult>>(),
    );
    const byKey = getOrAdd(
      byDocument,
      subscription.document,
      () => new Map<string, SharedResult>(),
    );
    const known = byKey.get(key);
    const now = clock.monotonic();
    if (known && now - known.executedAt < SHARED_FOR_MS) return known.result;
    const args = { ...subscription, rootValue: event };
    const executed = executePlanned(args) ?? execute(args);
    const context = args.contextValue as Context;
    if (executed instanceof Promise) return executed.then(result => resultFor(context, result));
    const result = withOmitted(executed, context);
    if (result.errors) return result;
    byKey.set(key, { result, executedAt: now });
    return result;
  }
}

/**
 * Throws if the subscriber has left: the errors of its aborted reads have no reader, and are no
 * bugs.
 */
function resultFor(context: Context, result: ExecutionResult): ExecutionResult {
  context.read.signal?.throwIfAborted();
  return withOmitted(result, context);
}

/**
 * Calls `createSourceEventStream` and converts anything it throws into an error of the operation.
 */
async function subscribeTo(args: ExecutionArgs) {
  try {
    return await createSourceEventStream(args);
  } catch (cause) {
    // A TypeError if @skip or @include leave no root field, or an Error if the variables are not an
    // object.
    const originalError = new GatewayError('BAD_USER_INPUT', NOT_SUBSCRIBABLE, { cause });
    return { errors: [new GraphQLError(NOT_SUBSCRIBABLE, { originalError })] };
  }
}

function getOrAdd<K extends object, V>(map: WeakMap<K, V>, key: K, create: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const created = create();
  map.set(key, created);
  return created;
}

/** What it takes to execute the events of one subscriber. */
interface Subscription {
  readonly args: ExecutionArgs;
  /** The same for subscribers whose operations differ in nothing but their documents. */
  readonly key: string;
  execute(subscription: Subscription, event: object): ExecutionResult | Promise<ExecutionResult>;
}

/** The results of events. Classes, because objects with own functions are several times larger. */
class EventResults<
  E extends AsyncIterator<unknown>,
> implements AsyncIterableIterator<ExecutionResult> {
  protected readonly events: E;
  readonly #subscription: Subscription;

  constructor(events: E, subscription: Subscription) {
    this.events = events;
    this.#subscription = subscription;
  }

  protected execute(event: unknown): ExecutionResult | Promise<ExecutionResult> {
    const subscription = this.#subscription;
    return subscription.execute(subscription, event as object);
  }

  async next(): Promise<IteratorResult<ExecutionResult>> {
    const { done, value } = await this.events.next();
    return done ? { done, value: undefined } : { done: false, value: await this.execute(value) };
  }

  async return(): Promise<IteratorResult<ExecutionResult>> {
    await this.events.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

class DirectEventResults
  extends EventResults<DirectStream<unknown>>
  implements Pick<DirectResults, 'take' | 'whenAvailable'>
{
  take(): ReturnType<DirectResults['take']> {
    const next = this.events.take();
    return next === null || next.done ? next : { done: false, value: this.execute(next.value) };
  }

  whenAvailable(reader: AvailabilityReader): void {
    this.events.whenAvailable(reader);
  }
}
