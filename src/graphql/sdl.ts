import {
  MapperKind,
  filterSchema,
  mapSchema,
  printSchemaWithDirectives,
} from '@graphql-tools/utils';
import {
  GraphQLInputObjectType,
  type GraphQLSchema,
  isSpecifiedDirective,
  lexicographicSortSchema,
} from 'graphql';

/** The schema for clients as SDL, sorted so that equal schemas print the same text. */
export function printSdl(schema: GraphQLSchema): string {
  return print(withoutFederationFields(schema));
}

/**
 * The schema for composition as SDL, which `_service` returns. It leaves out `@oneOf`, because Apollo's
 * composition does not know that directive. The gateway enforces it anyway.
 */
export function printSubgraphSdl(schema: GraphQLSchema): string {
  const composable = mapSchema(withoutFederationFields(schema), {
    [MapperKind.INPUT_OBJECT_TYPE]: type =>
      new GraphQLInputObjectType({ ...type.toConfig(), isOneOf: false }),
    // `@link` brings the federation directives.
    [MapperKind.DIRECTIVE]: directive => (isSpecifiedDirective(directive) ? directive : null),
  });
  return print(composable);
}

/**
 * Leaves out the types and root fields that federation adds to every subgraph: their names begin with an
 * underscore.
 */
function withoutFederationFields(schema: GraphQLSchema): GraphQLSchema {
  return filterSchema({
    schema,
    typeFilter: name => !name.startsWith('_') || name.startsWith('__'),
    rootFieldFilter: (_operation, name) => !name.startsWith('_'),
  });
}

function print(schema: GraphQLSchema): string {
  return `${printSchemaWithDirectives(lexicographicSortSchema(schema))}\n`;
}
