import { Trace } from '@apollo/usage-reporting-protobuf';
import { useApolloInstrumentation } from '@graphql-yoga/plugin-apollo-inline-trace';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import type { RouterTrust } from '../access/router-trust.ts';

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
