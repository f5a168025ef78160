import { type ExecutionResult, GraphQLError, NoSchemaIntrospectionCustomRule } from 'graphql';
import { useApolloInlineTrace } from '@graphql-yoga/plugin-apollo-inline-trace';
import type { Plugin } from 'graphql-yoga';
import type { Context } from '../graphql/builder.ts';
import type { MaskError } from './mask.ts';
import type { RouterTrust } from './router-trust.ts';

/** Refuses forms: any page can make a browser send one here, without asking and with no preflight. */
export function useNoForms(): Plugin {
  return {
    onRequestParse({ request }) {
      if (!request.headers.get('content-type')?.startsWith('application/x-www-form-urlencoded'))
        return;
      throw new GraphQLError('An operation is sent as application/json.', {
        extensions: {
          code: 'BAD_USER_INPUT',
          http: { status: 415, headers: { accept: 'application/json' } },
        },
      });
    },
  };
}

/** Refuses introspection, over whichever transport it is asked. */
export function useNoIntrospection(): Plugin {
  return {
    onValidate: ({ addValidationRule }) => addValidationRule(NoSchemaIntrospectionCustomRule),
  };
}

/** Gives the errors of parsing and validating a code, as those of executing have one. */
export function useMaskedRefusals(maskError: MaskError): Plugin {
  return {
    onParse:
      () =>
      ({ result, replaceParseResult }) => {
        if (result instanceof Error) replaceParseResult(maskError(result));
      },
    onValidate:
      () =>
      ({ valid, result, setResult }) => {
        if (!valid) setResult(result.map(maskError));
      },
  };
}

/** Traces an operation into `extensions.ftv1`, for a router that asks for it and is trusted. */
export function useFederatedTracing({ trusts }: RouterTrust): Plugin {
  return useApolloInlineTrace({
    ignoreRequest: async request =>
      request.headers.get('apollo-federation-include-trace') !== 'ftv1' || !(await trusts(request)),
  });
}

/** Tells, beside the data, of rows that were left out of it. */
export function useOmittedRows(): Plugin<Context> {
  return {
    onExecute: () => ({
      onExecuteDone({ result, setResult, args }) {
        if (!(Symbol.asyncIterator in result)) setResult(withOmitted(result, args.contextValue));
      },
    }),
    onSubscribe: () => ({
      onSubscribeResult: ({ args }) => ({
        onNext({ result, setResult }) {
          setResult(withOmitted(result, args.contextValue));
        },
      }),
    }),
  };
}

function withOmitted(result: ExecutionResult, { omitted }: Context): ExecutionResult {
  if (!omitted?.length) return result;
  // Taken out: a subscription's context serves event after event.
  const errors = omitted
    .splice(0)
    .map(
      ({ path, error }) =>
        new GraphQLError(error.message, { path, extensions: { ...error.extensions } }),
    );
  return { ...result, errors: [...(result.errors ?? []), ...errors] };
}
