import { printSchemaWithDirectives } from '@graphql-tools/utils';
import {
  DirectiveLocation,
  GraphQLBoolean,
  GraphQLDirective,
  GraphQLList,
  GraphQLNonNull,
  GraphQLString,
  lexicographicSortSchema,
  specifiedDirectives,
} from 'graphql';
import { builder } from './builder.ts';
import './task-status.ts';
import './target.ts';
import './query.ts';
import './mutation.ts';
import './subscription.ts';

const FEDERATION = 'https://specs.apollo.dev/federation/v2.5';
const text = { type: new GraphQLNonNull(GraphQLString) };

// Defined here so that tools which know nothing of federation can read the SDL too.
const directives = [
  ...specifiedDirectives,
  new GraphQLDirective({
    name: 'key',
    description: 'The fields by which other subgraphs reference the entity.',
    isRepeatable: true,
    locations: [DirectiveLocation.OBJECT, DirectiveLocation.INTERFACE],
    args: { fields: text, resolvable: { type: GraphQLBoolean, defaultValue: true } },
  }),
  new GraphQLDirective({
    name: 'shareable',
    description: 'Other subgraphs may resolve it too.',
    isRepeatable: true,
    locations: [DirectiveLocation.OBJECT, DirectiveLocation.FIELD_DEFINITION],
  }),
  new GraphQLDirective({
    name: 'link',
    description: 'The specification that the directives of the schema come from.',
    isRepeatable: true,
    locations: [DirectiveLocation.SCHEMA],
    args: { url: text, import: { type: new GraphQLList(GraphQLString) } },
  }),
];

/** The executable schema. */
export const schema = builder.toSchema({
  directives,
  schemaDirectives: { link: { url: FEDERATION, import: ['@key', '@shareable'] } },
});

/** The schema as SDL, sorted, so that equal schemas print alike. */
export function printSdl(): string {
  return `${printSchemaWithDirectives(lexicographicSortSchema(schema))}\n`;
}
