import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createGatewayRuntime } from '@graphql-hive/gateway-runtime';
import { MemPubSub } from '@graphql-hive/pubsub';
import type { Subgraph } from './sources.ts';

/** The transport between the router and the subgraph `tasks` for subscriptions. */
export type SubscriptionTransport = 'sse' | 'ws' | 'http-callback';

export interface RouterOptions {
  supergraphSdl: string;
  subscriptions?: SubscriptionTransport;
  /** Headers for every subgraph, in addition to the caller's `authorization`. */
  headers?: Record<string, string>;
  port?: number;
}

/** Hive Gateway over a supergraph. */
export async function startRouter(options: RouterOptions): Promise<Subgraph> {
  const { supergraphSdl, subscriptions = 'sse', headers = {}, port = 0 } = options;
  const server = createServer();
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  // Start to listen first, because subgraphs need the callback URL.
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const transports = {
    sse: { kind: 'http', options: { method: 'POST' } },
    ws: { kind: 'ws', options: { connectionParams: headers } },
    'http-callback': {
      kind: 'http-callback',
      options: { path: '/callback', public_url: `${origin}/callback`, heartbeat_interval: 5_000 },
    },
  } as const;
  const gateway = createGatewayRuntime({
    supergraph: supergraphSdl,
    logging: false,
    // The URL for callbacks.
    webhooks: true,
    pubsub: new MemPubSub(),
    propagateHeaders: {
      fromClientToSubgraphs({ request }) {
        const authorization = request.headers.get('authorization');
        return authorization === null ? headers : { ...headers, authorization };
      },
    },
    transportEntries: { tasks: { options: { subscriptions: transports[subscriptions] } } },
  });
  server.on('request', gateway);
  return {
    url: `${origin}/graphql`,
    async close() {
      await gateway[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
