import SchemaBuilder from '@pothos/core';
import DirectivesPlugin from '@pothos/plugin-directives';
import { GraphQLScalarType } from 'graphql';
import { GraphQLDateTime, GraphQLJSON } from 'graphql-scalars';
import type { GatewayError } from '../errors.ts';
import type { Mailbox } from '../progress/mailbox.ts';
import type { ReadOptions } from '../session/loader.ts';
import type { Session } from '../session/session.ts';
import type { Instant } from '../task/task.ts';

/** What resolvers are given of the request they serve. */
export interface Context {
  caller: {
    /** What the caller's credential opens. Throws UNAUTHENTICATED where there is none. */
    readonly session: Session;
    /** Ends a stream with UNAUTHENTICATED when the caller's credential does. */
    whileValid<T>(stream: Mailbox<T>): Mailbox<T>;
  };
  /** The schema for composition, as SDL; null where the caller may not be told it. */
  subgraphSdl: () => string | null;
  /** The time, for what is derived from it. */
  now(): Instant;
  /** How the caller wants to be answered; its signal aborts when the caller has gone. */
  read: ReadOptions;
  /** Rows left out of a list because they could not be read, told beside the data. */
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

/** Pothos, as the files beside this one use it. */
export const builder = new SchemaBuilder<SchemaTypes>({
  plugins: [DirectivesPlugin],
  directives: { useGraphQLToolsUnorderedDirectives: true },
  defaultFieldNullability: false,
});

builder.addScalarType(
  'DateTime',
  describe(
    GraphQLDateTime,
    'An instant as RFC 3339 writes it, in UTC with milliseconds: `2026-08-20T06:00:00.412Z`.',
  ),
);
builder.addScalarType(
  'JSON',
  describe(
    GraphQLJSON,
    'Any JSON value, as upstream sent it. Integers beyond 2^53 lose digits, as they would in a browser.',
  ),
);

function describe<I, O>(
  scalar: GraphQLScalarType<I, O>,
  description: string,
): GraphQLScalarType<I, O> {
  return new GraphQLScalarType({ ...scalar.toConfig(), description });
}
