import { GatewayError } from '../errors.ts';
import { type Context, builder } from './builder.ts';
import { costs } from './cost.ts';
import { readEntity } from './entities.ts';
import { Node, readNodeId } from './node.ts';

builder.queryFields(t => ({
  node: t.field({
    type: Node,
    nullable: true,
    description:
      'The object with this `nodeId`. Null for a task that does not exist. A source is returned without asking upstream whether it exists. A text that is not a `nodeId` is rejected with BAD_USER_INPUT.',
    args: {
      nodeId: t.arg.id({ required: true, description: 'The `nodeId` of a TaskStatus or Source.' }),
    },
    extensions: costs<{ nodeId: string }>(({ nodeId }) => ({ ids: countTasks([nodeId]) })),
    resolve: (_root, { nodeId }, context) => resolveNode(nodeId, context),
  }),
  nodes: t.field({
    type: [Node],
    nullable: { list: false, items: true },
    description:
      'The objects with these ids, in the same order, each as `node` returns it. Tasks are read together.',
    args: {
      nodeIds: t.arg.idList({
        required: true,
        description: 'The `nodeId`s of tasks and sources, in any order.',
      }),
    },
    extensions: costs<{ nodeIds: string[] }>(({ nodeIds }) => ({
      multiplier: nodeIds.length,
      ids: countTasks(nodeIds),
    })),
    // One promise each, so that one failure does not fail the others.
    resolve: (_root, { nodeIds }, context) => nodeIds.map(nodeId => resolveNode(nodeId, context)),
  }),
}));

function countTasks(nodeIds: readonly string[]): number {
  return nodeIds.filter(nodeId => readNodeId(nodeId)?.__typename === 'TaskStatus').length;
}

async function resolveNode(nodeId: string, context: Context) {
  const reference = readNodeId(nodeId);
  if (reference !== null) return readEntity(reference, context);
  throw new GatewayError('BAD_USER_INPUT', 'A `nodeId` must be one that this schema returned.');
}
