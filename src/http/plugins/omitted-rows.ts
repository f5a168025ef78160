import { type ExecutionResult, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Context } from '../../graphql/builder.ts';

/**
 * Adds an error for each row that was left out of the data because it could not be read.
 * `useSharedResults` does so for the events of subscriptions.
 */
export function useOmittedRows(): Plugin<Context> {
  return {
    onExecute: () => ({
      onExecuteDone({ result, setResult, args }) {
        if (!(Symbol.asyncIterator in result)) setResult(withOmitted(result, args.contextValue));
      },
    }),
  };
}

/** Takes the omitted rows out of the context. */
export function withOmitted(result: ExecutionResult, { omitted }: Context): ExecutionResult {
  if (!omitted?.length) return result;
  // Remove them, because all events of a subscription share one context.
  const errors = omitted
    .splice(0)
    .map(
      ({ path, error }) =>
        new GraphQLError(error.message, { path, extensions: { ...error.extensions } }),
    );
  return { ...result, errors: [...(result.errors ?? []), ...errors] };
}
