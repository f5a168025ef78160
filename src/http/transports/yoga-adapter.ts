import type { IncomingMessage, ServerResponse } from 'node:http';
import type { YogaServerInstance } from 'graphql-yoga';
import type { Context } from '../../graphql/builder.ts';
import type { TransportContext } from './transport-context.ts';

/** Has Yoga answer a request of Node's HTTP server. */
export type AnswerByYoga = (
  request: IncomingMessage,
  response: ServerResponse,
  context?: TransportContext,
) => void | Promise<void>;

// Stands for a body that was read before. Nothing reads it.
const WAS_READ = '{}';

/**
 * Of the request, Yoga makes one of the Fetch API before it returns. For that, it prefers what
 * frameworks add to requests to the request itself: an `originalUrl` would bring back the path
 * under which the application serves the gateway. A body stream that was read is an error if the
 * Fetch API is Node's own, as it is in Next.js.
 */
export function createAnswerByYoga(
  yoga: YogaServerInstance<TransportContext, Context>,
): AnswerByYoga {
  return (request, response, context = {}) => {
    const body = context.parsed === undefined ? undefined : WAS_READ;
    const restore = shadow(request, { originalUrl: undefined, query: undefined, body });
    try {
      return yoga(request, response, context);
    } finally {
      // What comes after the gateway, such as a log of the application, finds what was there.
      restore();
    }
  };
}

/** Gives the object these properties until the returned function is called. */
function shadow(object: object, properties: Record<string, unknown>): () => void {
  const before = Object.keys(properties).map(
    name => [name, Object.getOwnPropertyDescriptor(object, name)] as const,
  );
  for (const [name, value] of Object.entries(properties))
    Object.defineProperty(object, name, { value, configurable: true });
  return () => {
    for (const [name, descriptor] of before) {
      if (descriptor) Object.defineProperty(object, name, descriptor);
      else delete (object as Record<string, unknown>)[name];
    }
  };
}
