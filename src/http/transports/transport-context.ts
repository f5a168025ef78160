import type { YogaServerInstance } from 'graphql-yoga';
import type { Admission } from '../access/operation-gate.ts';
import type { OperationRecord } from '../observation/operation-records.ts';
import type { Context } from '../../graphql/builder.ts';

/** What a transport knows of its request. */
export interface TransportContext {
  /** Set by the operation gate, for each operation. */
  admission?: Admission;
  /** A header by its lower-case name, from wherever the protocol carries it; null where there is none. */
  header?: (name: string) => string | null;
  /** Where the request comes from (see access/address.ts). */
  address?: string;
  /** Set where the operation arrives. */
  record?: OperationRecord;
  /** Aborts when the client has left. */
  signal?: AbortSignal;
}

/** Runs the phases of an operation with the plugins of the GraphQL server. */
export type GetEnveloped = YogaServerInstance<TransportContext, Context>['getEnveloped'];
