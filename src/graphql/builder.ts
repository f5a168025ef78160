import SchemaBuilder from '@pothos/core';
import DirectivesPlugin from '@pothos/plugin-directives';
import { GraphQLScalarType } from 'graphql';
import { GraphQLDateTime, GraphQLJSON } from 'graphql-scalars';
import type { GatewayError } from '../errors.ts';
import type { Mailbox } from '../progress/mailbox.ts';
import type { ReadOptions } from '../session/loader.ts';
import type { Session } from '../session/session.ts';
import type { AccountAggregation } from '../task/account-aggregation.ts';
import type { Instant } from '../task/task.ts';

/** The context of one operation, which resolvers receive. */
export interface Context {
  caller: {
    /** The session of the caller's credential. Throws UNAUTHENTICATED if the request has none. */
    readonly session: Session;
    /** Ends the stream with UNAUTHENTICATED when the caller's credential expires. */
    whileValid<T>(stream: Mailbox<T>): Mailbox<T>;
  };
  /** The schema for composition, as SDL; null if the caller may not read it. */
  subgraphSdl(): Promise<string | null>;
  /** The current time, for fields that depend on it. */
  now(): Instant;
  /** Options for reads. Their signal aborts when the client disconnects. */
  read: ReadOptions;
  /** The account aggregations that the operation is asking for now, by the ids of their tasks. */
  aggregations: Map<string, Promise<AccountAggregation | null>>;
  /**
   * Rows that a list leaves out because they could not be read. The response reports them as
   * errors.
   */
  omitted: { path: (string | number)[]; error: GatewayError }[];
}

export interface SchemaTypes {
  Context: Context;
  DefaultFieldNullability: false;
  Scalars: {
    ID: { Input: string; Output: string };
    DateTime: { Input: Date; Output: Instant };
    JSON: { Input: unknown; Output: unknown };
    _Any: { Input: unknown; Output: unknown };
  };
  Directives: {
    key: { locations: 'OBJECT'; args: { fields: string; resolvable?: boolean } };
    shareable: { locations: 'OBJECT'; args: Record<string, never> };
    tag: { locations: 'FIELD_DEFINITION'; args: { name: string } };
    link: { locations: 'SCHEMA'; args: { url: string; import?: string[] } };
  };
}

/** The Pothos schema builder that all files of this folder use. */
export const builder = new SchemaBuilder<SchemaTypes>({
  plugins: [DirectivesPlugin],
  directives: { useGraphQLToolsUnorderedDirectives: true },
  defaultFieldNullability: false,
});

builder.addScalarType(
  'DateTime',
  describe(
    GraphQLDateTime,
    'An instant in RFC 3339 format, in UTC with milliseconds: `2026-08-20T06:00:00.412Z`.',
  ),
);
builder.addScalarType(
  'JSON',
  describe(
    GraphQLJSON,
    'Any JSON value, as upstream sent it. Integers beyond 2^53 lose digits, as they do in a browser.',
  ),
);

function describe<I, O>(
  scalar: GraphQLScalarType<I, O>,
  description: string,
): GraphQLScalarType<I, O> {
  return new GraphQLScalarType({ ...scalar.toConfig(), description });
}
