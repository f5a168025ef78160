import type { TestContext } from 'node:test';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient as createWsClient } from 'graphql-ws';
import { WebSocket } from 'ws';
import { secretWatchOf } from './secret-watch.ts';

/** SSE with one connection per operation, SSE with one connection for all, and WebSocket. */
export type Transport = 'sse' | 'single-connection sse' | 'ws';
export const TRANSPORTS: readonly Transport[] = ['sse', 'single-connection sse', 'ws'];

/** The results of an operation, through a common client library of the transport. */
export function subscribe(
  t: TestContext,
  transport: Transport,
  url: string,
  query: string,
  variables: Record<string, unknown> = {},
  authorization?: string,
  operationName?: string,
): AsyncIterableIterator<any> {
  if (authorization) secretWatchOf(t).addSecret(authorization.replace(/^\w+ +/, ''));
  const client =
    transport !== 'ws'
      ? createSseClient({
          ...(transport === 'sse'
            ? { url }
            : { url: `${url}/stream`, singleConnection: true as const }),
          retryAttempts: 0,
          ...(authorization ? { headers: { authorization } } : {}),
        })
      : createWsClient({
          url: url.replace('http', 'ws'),
          webSocketImpl: WebSocket,
          retryAttempts: 0,
          lazyCloseTimeout: 0,
          ...(authorization ? { connectionParams: { authorization } } : {}),
        });
  t.after(() => client.dispose());
  return client.iterate({ query, variables, ...(operationName && { operationName }) });
}

/** All results until the stream completes. */
export async function collect<T>(results: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const result of results) collected.push(result);
  return collected;
}
