import {
  MapperKind,
  filterSchema,
  mapSchema,
  printSchemaWithDirectives,
} from '@graphql-tools/utils';
import {
  GraphQLInputObjectType,
  GraphQLSchema,
  isSpecifiedDirective,
  lexicographicSortSchema,
} from 'graphql';
import { costDirectivesOf } from './cost-directives.ts';
import { type FederationVersion, federationLink } from './federation-version.ts';

/** The schema for clients as SDL, sorted so that equal schemas print the same text. */
export function printSdl(schema: GraphQLSchema): string {
  return print(withoutFederationFields(schema));
}

/**
 * The schema for composition as SDL, which `_service` returns. It leaves out `@oneOf`, because
 * Apollo's composition does not know that directive. The gateway enforces it anyway.
 */
export function printSubgraphSdl(
  schema: GraphQLSchema,
  version: FederationVersion = '2.5',
): string {
  const subgraph = withoutNodes(withoutFederationFields(schema));
  const composable = mapSchema(version === '2.9' ? withCosts(subgraph) : subgraph, {
    [MapperKind.INPUT_OBJECT_TYPE]: type =>
      new GraphQLInputObjectType({ ...type.toConfig(), isOneOf: false }),
    // `@link` brings the federation directives.
    [MapperKind.DIRECTIVE]: directive => (isSpecifiedDirective(directive) ? directive : null),
  });
  return print(composable);
}

/**
 * Leaves out the types and root fields that federation adds to every subgraph: their names begin
 * with an underscore.
 */
function withoutFederationFields(schema: GraphQLSchema): GraphQLSchema {
  return filterSchema({
    schema,
    typeFilter: name => !name.startsWith('_') || name.startsWith('__'),
    rootFieldFilter: (_operation, name) => !name.startsWith('_'),
  });
}

/**
 * Leaves out Relay's node identification: a larger graph has one `node` field, which no subgraph
 * can resolve alone.
 */
function withoutNodes(schema: GraphQLSchema): GraphQLSchema {
  return filterSchema({
    schema,
    typeFilter: name => name !== 'Node',
    rootFieldFilter: (_operation, name) => name !== 'node' && name !== 'nodes',
    objectFieldFilter: (_type, name) => name !== 'nodeId',
  });
}

/** Adds what a router needs to estimate the cost of an operation. */
function withCosts(schema: GraphQLSchema): GraphQLSchema {
  const { extensions, ...config } = mapSchema(schema, {
    [MapperKind.OBJECT_FIELD]: field => ({
      ...field,
      extensions: withDirectives(field.extensions, costDirectivesOf(field)),
    }),
  }).toConfig();
  return new GraphQLSchema({
    ...config,
    extensions: withDirectives(extensions, { link: federationLink('2.9') }),
    // They hold the `@link` of the default version.
    extensionASTNodes: [],
  });
}

function withDirectives(
  extensions: { directives?: object } | null | undefined,
  directives: object,
) {
  return { ...extensions, directives: { ...extensions?.directives, ...directives } };
}

function print(schema: GraphQLSchema): string {
  return `${printSchemaWithDirectives(lexicographicSortSchema(schema))}\n`;
}
