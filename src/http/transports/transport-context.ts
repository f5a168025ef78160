import type { YogaServerInstance } from 'graphql-yoga';
import type { Admission } from '../access/operation-gate.ts';
import type { RequestShare } from '../access/request-space.ts';
import type { OperationParams } from '../access/operation-params.ts';
import type { OperationRecord } from '../observation/operation-records.ts';
import type { Signal } from '../../signal.ts';
import type { Context } from '../../graphql/builder.ts';

/** The context that a transport passes to the GraphQL server with each operation. */
export interface TransportContext {
  /** Set by the operation gate, for each operation. */
  admission?: Admission;
  /**
   * Reads a header by its lower-case name, wherever the protocol carries it; null if it was not
   * sent.
   */
  header?: (name: string) => string | null;
  /** The operation, if the body was read before Yoga got the request. */
  parsed?: OperationParams | Promise<OperationParams>;
  /** What the body takes of the space for requests, until the request is answered. */
  share?: RequestShare;
  /** The client's address (see access/client-address.ts). */
  address?: string;
  /** The record of the operation, set by the transport. */
  record?: OperationRecord;
  /** Aborts when the client disconnects. */
  signal?: Signal;
}

/** Runs the phases of an operation with the plugins of the GraphQL server. */
export type GetEnveloped = YogaServerInstance<TransportContext, Context>['getEnveloped'];
