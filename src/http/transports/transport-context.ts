import type { YogaServerInstance } from 'graphql-yoga';
import type { Context } from '../../graphql/builder.ts';

/** What a transport other than HTTP knows of its request. */
export interface TransportContext {
  /** A header by its lower-case name, from wherever the protocol carries it; null where there is none. */
  header?: (name: string) => string | null;
  /** Where the request comes from (see access/address.ts). */
  address?: string;
  /** Aborts when the client has left. */
  signal?: AbortSignal;
}

/** Runs the phases of an operation with the plugins of the GraphQL server. */
export type GetEnveloped = YogaServerInstance<TransportContext, Context>['getEnveloped'];
