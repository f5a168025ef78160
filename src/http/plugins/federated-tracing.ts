import { Trace } from '@apollo/usage-reporting-protobuf';
import { useApolloInstrumentation } from '@graphql-yoga/plugin-apollo-inline-trace';
import { type Plugin, isAsyncIterable } from 'graphql-yoga';
import type { RouterTrust } from '../access/router-trust.ts';

/** Adds a trace as `extensions.ftv1` if a trusted router requests it. */
export function useFederatedTracing({ isTrusted }: RouterTrust): Plugin {
  const [instrumentation, requests] = useApolloInstrumentation({
    ignoreRequest: async request =>
      request.headers.get('apollo-federation-include-trace') !== 'ftv1' ||
      // If the router cannot be verified, omit the trace instead of failing the request.
      !(await isTrusted(request).catch(() => false)),
  });
  return {
    onPluginInit({ addPlugin }) {
      addPlugin(instrumentation);
      // The library's own encoding overflows the stack for a trace of some thousand fields.
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
