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

/** The schema as clients are to know it, sorted, so that equal schemas print alike. */
export function printSdl(schema: GraphQLSchema): string {
  return print(withoutMachinery(schema));
}

/**
 * The schema as composition wants it, which is what `_service` answers. `@oneOf` is left out: Apollo's
 * composition knows no such directive. It is enforced here all the same.
 */
export function printSubgraphSdl(schema: GraphQLSchema): string {
  const composable = mapSchema(withoutMachinery(schema), {
    [MapperKind.INPUT_OBJECT_TYPE]: type =>
      new GraphQLInputObjectType({ ...type.toConfig(), isOneOf: false }),
    // Federation's own come with `@link`.
    [MapperKind.DIRECTIVE]: directive => (isSpecifiedDirective(directive) ? directive : null),
  });
  return print(composable);
}

/** Without what federation adds to every subgraph: its names begin with an underscore. */
function withoutMachinery(schema: GraphQLSchema): GraphQLSchema {
  return filterSchema({
    schema,
    typeFilter: name => !name.startsWith('_') || name.startsWith('__'),
    rootFieldFilter: (_operation, name) => !name.startsWith('_'),
  });
}

function print(schema: GraphQLSchema): string {
  return `${printSchemaWithDirectives(lexicographicSortSchema(schema))}\n`;
}
