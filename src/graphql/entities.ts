import { GraphQLScalarType } from 'graphql';
import { GatewayError } from '../errors.ts';
import { type Context, builder } from './builder.ts';
import { costs } from './cost.ts';
import { type ResolvedNode, typeOfNode } from './node.ts';
import { Source } from './source.ts';
import { TaskStatus } from './task-status-ref.ts';

/** A reference to an entity: the name of its type, and the fields of its key. */
interface Representation {
  __typename: string;
  id: string;
}

// The fields that routers use. The Apollo Federation subgraph specification gives them their names
// with underscores. Clients do not need them, so `printSdl` leaves them out.
builder.addScalarType(
  '_Any',
  new GraphQLScalarType({
    name: '_Any',
    description: 'A reference to an entity: its `__typename` and the fields of its key.',
  }),
);

const Entity = builder.unionType('_Entity', {
  description: 'An entity type whose fields this subgraph resolves.',
  types: [TaskStatus, Source],
  resolveType: typeOfNode,
});

builder.queryField('_entities', t =>
  t.field({
    type: [Entity],
    nullable: { list: false, items: true },
    description:
      'The referenced entities, in the same order; null for an entity that does not exist.',
    args: {
      representations: t.arg({
        type: ['_Any'],
        required: true,
        description: 'References to the entities.',
      }),
    },
    extensions: costs(costOfEntities),
    // One promise each, so that one failure does not fail the others.
    resolve: (_root, { representations }, context) =>
      representations.map(reference => resolveReference(reference, context)),
  }),
);

function costOfEntities({ representations }: { representations: unknown[] }) {
  const ids = representations.filter(
    reference => (reference as Partial<Representation> | null)?.__typename === 'TaskStatus',
  ).length;
  return { multiplier: representations.length, ids };
}

function resolveReference(reference: unknown, context: Context): Promise<ResolvedNode | null> {
  try {
    return readEntity(readRepresentation(reference), context);
  } catch (error) {
    return Promise.reject(error);
  }
}

/**
 * The entity that a reference refers to; null if there is no such task. Throws BAD_USER_INPUT for
 * another type.
 */
export function readEntity(
  { __typename, id }: Representation,
  { caller, read }: Context,
): Promise<ResolvedNode | null> {
  switch (__typename) {
    case 'TaskStatus':
      return caller.session.tasks.load(id, read);
    case 'Source':
      return Promise.resolve({ __typename, id });
    default:
      throw new GatewayError(
        'BAD_USER_INPUT',
        `${JSON.stringify(__typename)} is not an entity of this subgraph.`,
      );
  }
}

function readRepresentation(reference: unknown): Representation {
  const { __typename, id } = (reference ?? {}) as Partial<Record<keyof Representation, unknown>>;
  if (typeof __typename === 'string' && typeof id === 'string') return { __typename, id };
  throw new GatewayError(
    'BAD_USER_INPUT',
    'A reference to an entity must have a `__typename` and an `id`, both strings.',
  );
}
