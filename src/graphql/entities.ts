import { GraphQLScalarType } from 'graphql';
import { GatewayError } from '../errors.ts';
import type { Task } from '../task/task.ts';
import { type Context, builder } from './builder.ts';
import { costs } from './cost.ts';
import { Source } from './source.ts';
import { TaskStatus } from './task-status-ref.ts';

/** What an entity is found by: its type's name, and the fields of its key. */
interface Representation {
  __typename: string;
  id: string;
}

type ResolvedEntity = { __typename: string } & (Task | { id: string });

// What stands here is how routers speak to subgraphs: named, and so underscored, by the subgraph
// specification of Apollo Federation. Clients have no use for it: `printSdl` leaves it out.
builder.addScalarType(
  '_Any',
  new GraphQLScalarType({
    name: '_Any',
    description: 'A reference to an entity: its `__typename`, and the fields of its key.',
  }),
);

const Entity = builder.unionType('_Entity', {
  description: 'A type that other subgraphs reference, and whose fields are resolved here.',
  types: [TaskStatus, Source],
  resolveType: entity => (entity as ResolvedEntity).__typename,
});

builder.queryField('_entities', t =>
  t.field({
    type: [Entity],
    nullable: { list: false, items: true },
    description: 'The entities of these references, in their order; null where there is none.',
    args: {
      representations: t.arg({
        type: ['_Any'],
        required: true,
        description: 'The references.',
      }),
    },
    extensions: costs(costOfEntities),
    // A promise for each: what becomes of one is no matter to the others.
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

async function resolveReference(
  reference: unknown,
  { caller, read }: Context,
): Promise<ResolvedEntity | null> {
  const { __typename, id } = readRepresentation(reference);
  switch (__typename) {
    case 'TaskStatus': {
      const task = await caller.session.tasks.load(id, read);
      return task && { __typename, ...task };
    }
    case 'Source':
      return { __typename, id };
    default:
      throw new GatewayError(
        'BAD_USER_INPUT',
        `${JSON.stringify(__typename)} is no entity of this subgraph.`,
      );
  }
}

function readRepresentation(reference: unknown): Representation {
  const { __typename, id } = (reference ?? {}) as Partial<Record<keyof Representation, unknown>>;
  if (typeof __typename === 'string' && typeof id === 'string') return { __typename, id };
  throw new GatewayError(
    'BAD_USER_INPUT',
    'A reference to an entity must have a `__typename` and an `id`, both texts.',
  );
}
