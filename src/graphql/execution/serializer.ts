import {
  GraphQLBoolean,
  GraphQLFloat,
  GraphQLID,
  GraphQLInt,
  type GraphQLLeafType,
  GraphQLString,
} from 'graphql';

// Values that a built-in scalar returns unchanged, so that its function need not be called.
const IS_UNCHANGED = new Map<GraphQLLeafType, (value: unknown) => boolean>([
  [GraphQLString, value => typeof value === 'string'],
  [GraphQLID, value => typeof value === 'string'],
  [GraphQLBoolean, value => typeof value === 'boolean'],
  [GraphQLInt, value => typeof value === 'number' && (value | 0) === value],
  [GraphQLFloat, value => typeof value === 'number' && Number.isFinite(value)],
]);

/** As `serialize` of a scalar or enum, but faster if the result is the value itself. */
export function serializerOf(type: GraphQLLeafType): (value: unknown) => unknown {
  const isUnchanged = IS_UNCHANGED.get(type);
  if (isUnchanged === undefined) return value => type.serialize(value);
  return value => (isUnchanged(value) ? value : type.serialize(value));
}
