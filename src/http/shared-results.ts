import {
  type DocumentNode,
  type ExecutionArgs,
  type ExecutionResult,
  GraphQLError,
  createSourceEventStream,
  execute,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { GatewayError } from '../errors.ts';
import type { Context } from '../graphql/builder.ts';

const NOT_SUBSCRIBABLE =
  'There is nothing to subscribe to: the operation selects no field, or its variables are not an object.';

/**
 * Executes an event once for all subscribers that select the same of it, and gives them one result.
 *
 * Followers of one watch are given the very same event object, and their operations, parsed once,
 * have the very same document. Followers of one watch have one credential, too: a watch belongs to a
 * session. Results that resolvers have to wait for are not shared, lest one caller's hanging up abort
 * another's.
 */
export function useSharedResults(): Plugin<Context> {
  const results = new WeakMap<object, WeakMap<DocumentNode, Map<string, ExecutionResult>>>();

  return {
    onSubscribe: ({ setSubscribeFn }) => setSubscribeFn(subscribe),
  };

  async function subscribe(args: ExecutionArgs) {
    const events = await subscribeTo(args);
    if (!(Symbol.asyncIterator in events)) return events;
    const key = JSON.stringify([args.operationName, args.variableValues]);
    return mapEvents(events[Symbol.asyncIterator](), event =>
      executeShared({ ...args, rootValue: event }, key),
    );
  }

  function executeShared(args: ExecutionArgs, key: string) {
    const event = args.rootValue as object;
    const byDocument = getOrAdd(
      results,
      event,
      () => new WeakMap<DocumentNode, Map<string, ExecutionResult>>(),
    );
    const byKey = getOrAdd(byDocument, args.document, () => new Map<string, ExecutionResult>());
    const known = byKey.get(key);
    if (known) return known;
    const result = execute(args);
    if (result instanceof Promise || result.errors) return result;
    byKey.set(key, result);
    return result;
  }
}

/** `createSourceEventStream`, with everything it throws turned into an error of the operation. */
async function subscribeTo(args: ExecutionArgs) {
  try {
    return await createSourceEventStream(args);
  } catch (cause) {
    // A TypeError if @skip or @include leave no root field, an Error if the variables are not an object.
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

function mapEvents<T, U>(
  events: AsyncIterator<T>,
  map: (event: T) => U | Promise<U>,
): AsyncIterableIterator<U> {
  return {
    async next() {
      const { done, value } = await events.next();
      return done ? { done, value: undefined } : { done: false, value: await map(value) };
    },
    async return() {
      await events.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
