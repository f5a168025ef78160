import { type ExecutionResult, GraphQLError, NoSchemaIntrospectionCustomRule } from 'graphql';
import { Trace } from '@apollo/usage-reporting-protobuf';
import { useApolloInstrumentation } from '@graphql-yoga/plugin-apollo-inline-trace';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import type { Context } from '../graphql/builder.ts';
import { checkSubscription } from '../graphql/cost.ts';
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

/** Refuses `variables` and `extensions` of a GET that are not JSON; Yoga would take the SyntaxError for a bug. */
export function useJsonParameters(): Plugin {
  return {
    onRequestParse({ url }) {
      for (const name of ['variables', 'extensions']) {
        const text = url.searchParams.get(name);
        if (text === null || text === '' || isJson(text)) continue;
        throw new GraphQLError(`\`${name}\` is not JSON.`, {
          extensions: { code: 'BAD_USER_INPUT', http: { status: 400 } },
        });
      }
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

/** Refuses a subscription that costs too much before it begins. */
export function useBoundSubscriptions(maskError: MaskError): Plugin<Context> {
  return {
    onSubscribe({ args, setResultAndStopExecution }) {
      try {
        checkSubscription(args, args.contextValue.limits);
      } catch (error) {
        setResultAndStopExecution({ errors: [maskError(error)] });
      }
    },
  };
}

/** Traces an operation into `extensions.ftv1`, for a router that asks for it and is trusted. */
export function useFederatedTracing({ trusts }: RouterTrust): Plugin {
  const [instrumentation, requests] = useApolloInstrumentation({
    ignoreRequest: async request =>
      request.headers.get('apollo-federation-include-trace') !== 'ftv1' ||
      // A trace is not worth failing for, where it cannot be found out who asks.
      !(await trusts(request).catch(() => false)),
  });
  return {
    onPluginInit({ addPlugin }) {
      addPlugin(instrumentation);
      // The library's own way of writing it overflows the stack for a trace of some thousand fields.
      addPlugin({
        onExecutionResult({ request, result, context, setResult }) {
          const traced = requests.get(request)?.traces.get(context);
          if (!traced || !result || Array.isArray(result) || isAsyncIterable(result)) return;
          const ftv1 = Buffer.from(Trace.encode(traced.trace).finish()).toString('base64');
          setResult({ ...result, extensions: { ...result.extensions, ftv1 } });
        },
      });
    },
  };
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

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
