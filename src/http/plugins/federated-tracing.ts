import { useOnResolve } from '@envelop/on-resolve';
import type { ExecutionResult, GraphQLFormattedError, GraphQLResolveInfo } from 'graphql';
import { type Plugin, type YogaInitialContext, isAsyncIterable } from 'graphql-yoga';
import type { RouterTrust } from '../access/router-trust.ts';
import { type Trace, type TraceNode, encodeTrace } from './trace-encoding.ts';

type Path = GraphQLResolveInfo['path'];

/** A trace of an operation that is being executed. */
interface Recording {
  startedAt: number;
  startedNs: number;
  root: TraceNode;
  /** graphql-js gives all fields of one object the same path before them. */
  nodes: Map<Path, TraceNode>;
}

/** Adds a trace as `extensions.ftv1` if a trusted router requests it. */
export function useFederatedTracing({ isTrusted }: RouterTrust): Plugin {
  const wanted = new WeakSet<Request>();
  const recordings = new WeakMap<object, Recording>();
  return {
    onPluginInit({ addPlugin }) {
      addPlugin(
        useOnResolve<YogaInitialContext>(({ context, info }) => {
          const recording = recordings.get(context);
          if (recording === undefined) return undefined;
          const node = nodeAt(recording, info.path);
          node.type = String(info.returnType);
          node.parentType = info.parentType.name;
          if (node.key !== info.fieldName) node.originalFieldName = info.fieldName;
          node.startNs = sinceStart(recording);
          return () => void (node.endNs = sinceStart(recording));
        }),
      );
    },
    async onRequest({ request }) {
      if (request.headers.get('apollo-federation-include-trace') !== 'ftv1') return;
      // If the router cannot be verified, omit the trace instead of failing the request.
      if (await isTrusted(request).catch(() => false)) wanted.add(request);
    },
    onExecute({ args: { contextValue } }) {
      const { request } = contextValue as { request?: Request };
      if (request === undefined || !wanted.has(request)) return;
      recordings.set(contextValue, {
        startedAt: Date.now(),
        startedNs: now(),
        root: { key: null, errors: [], children: new Map() },
        nodes: new Map(),
      });
    },
    onExecutionResult({ result, context, setResult }) {
      const recording = recordings.get(context);
      if (!recording || !result || Array.isArray(result) || isAsyncIterable(result)) return;
      const ftv1 = encodeTrace(finish(recording, result)).toString('base64');
      setResult({ ...result, extensions: { ...result.extensions, ftv1 } });
    },
  };
}

function nodeAt(recording: Recording, path: Path | undefined): TraceNode {
  const { root, nodes } = recording;
  if (path === undefined) return root;
  const known = nodes.get(path);
  if (known) return known;
  const node: TraceNode = { key: path.key, errors: [], children: new Map() };
  nodes.set(path, node);
  nodeAt(recording, path.prev).children.set(path.key, node);
  return node;
}

function finish(recording: Recording, { errors = [] }: ExecutionResult): Trace {
  const durationNs = sinceStart(recording);
  for (const error of errors) {
    const formatted: GraphQLFormattedError = error.toJSON();
    const { message, locations = [], path = [] } = formatted;
    nearest(recording.root, path).errors.push({
      message,
      locations,
      json: JSON.stringify(formatted),
    });
  }
  const { startedAt, root } = recording;
  return { startedAt, endedAt: Date.now(), durationNs, root };
}

/** The node of the path, or of as much of it as was executed. */
function nearest(root: TraceNode, path: readonly (string | number)[]): TraceNode {
  let node = root;
  for (const key of path) {
    const child = node.children.get(key);
    if (child === undefined) return node;
    node = child;
  }
  return node;
}

function sinceStart({ startedNs }: Recording): number {
  return now() - startedNs;
}

function now(): number {
  return performance.now() * 1e6;
}
