import {
  DirectiveLocation,
  GraphQLBoolean,
  GraphQLDirective,
  GraphQLList,
  GraphQLNonNull,
  GraphQLString,
  specifiedDirectives,
} from 'graphql';
import { builder } from './builder.ts';
import { federationLink } from './federation-version.ts';
import './task-status.ts';
import './target.ts';
import './query.ts';
import './mutation.ts';
import './subscription.ts';
import './entities.ts';
import './nodes.ts';
import './service.ts';

const text = { type: new GraphQLNonNull(GraphQLString) };

// Defined here so that tools without support for federation can read the SDL too.
const directives = [
  ...specifiedDirectives,
  new GraphQLDirective({
    name: 'key',
    description: 'The fields with which other subgraphs reference the entity.',
    isRepeatable: true,
    locations: [DirectiveLocation.OBJECT, DirectiveLocation.INTERFACE],
    args: { fields: text, resolvable: { type: GraphQLBoolean, defaultValue: true } },
  }),
  new GraphQLDirective({
    name: 'shareable',
    description: 'Other subgraphs may resolve this too.',
    isRepeatable: true,
    locations: [DirectiveLocation.OBJECT, DirectiveLocation.FIELD_DEFINITION],
  }),
  new GraphQLDirective({
    name: 'tag',
    description: 'A label with which a supergraph can leave elements out of some of its variants.',
    isRepeatable: true,
    locations: [
      DirectiveLocation.OBJECT,
      DirectiveLocation.FIELD_DEFINITION,
      DirectiveLocation.INTERFACE,
      DirectiveLocation.UNION,
      DirectiveLocation.ARGUMENT_DEFINITION,
      DirectiveLocation.SCALAR,
      DirectiveLocation.ENUM,
      DirectiveLocation.ENUM_VALUE,
      DirectiveLocation.INPUT_OBJECT,
      DirectiveLocation.INPUT_FIELD_DEFINITION,
    ],
    args: { name: text },
  }),
  new GraphQLDirective({
    name: 'link',
    description: 'The specification that defines the directives of this schema.',
    isRepeatable: true,
    locations: [DirectiveLocation.SCHEMA],
    args: { url: text, import: { type: new GraphQLList(GraphQLString) } },
  }),
];

/** The executable schema. */
export const schema = builder.toSchema({
  directives,
  schemaDirectives: { link: federationLink('2.5') },
});
