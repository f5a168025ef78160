import { initGraphQLTada } from 'gql.tada';
import type { introspection } from './generated/introspection.d.ts';

/**
 * Parses an operation. Its types are inferred from the text, with nothing to generate per
 * operation.
 */
export const graphql = initGraphQLTada<{
  introspection: introspection;
  scalars: { DateTime: string; JSON: unknown };
}>();

export type { ResultOf, VariablesOf } from 'gql.tada';

/**
 * Variables in which a `@oneOf` input has exactly one field. gql.tada's own types demand one, but
 * do not refuse a second.
 */
export type Exact<Input, Every = Input> = Input extends object
  ? { [Name in keyof Input]: Exact<Input[Name]> } & {
      [Name in Exclude<FieldOf<Every>, keyof Input>]?: never;
    }
  : Input;

type FieldOf<Input> = Input extends object ? keyof Input : never;
