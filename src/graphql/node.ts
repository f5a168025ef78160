import type { Task } from '../task/task.ts';
import { builder } from './builder.ts';

/** The type of a node, and the id that upstream knows it by. */
export interface NodeReference {
  __typename: NodeType;
  id: string;
}

const NODE_TYPES = ['TaskStatus', 'Source'] as const;
type NodeType = (typeof NODE_TYPES)[number];

/**
 * The interface of Relay's global object identification, in which `nodeId` takes the place of `id`.
 */
export const Node = builder.interfaceRef<{ id: string }>('Node').implement({
  description:
    'An object that `node` reads again by its `nodeId`. For Relay, set `nodeInterfaceIdField` to `nodeId`.',
  resolveType: typeOfNode,
  fields: t => ({
    nodeId: t.id({
      description:
        'An id that is unique among all objects of all types. Do not parse it. Upstream does not know it: `id` is the id there.',
    }),
  }),
});

/** A task, or a source, which upstream is not asked about. */
export type ResolvedNode = Task | { __typename: 'Source'; id: string };

/** A task does not name its type, so that none has to be copied. */
export function typeOfNode(node: object): NodeType {
  return '__typename' in node ? 'Source' : 'TaskStatus';
}

/** The `nodeId` of an object. */
export function toNodeId(type: NodeType, id: string): string {
  return Buffer.from(`${type}:${id}`).toString('base64url');
}

/** The object that a `nodeId` refers to; null for a text that `toNodeId` never returns. */
export function readNodeId(nodeId: string): NodeReference | null {
  const text = Buffer.from(nodeId, 'base64url').toString();
  const id = text.slice(text.indexOf(':') + 1);
  const type = NODE_TYPES.find(type => id !== '' && toNodeId(type, id) === nodeId);
  return type === undefined ? null : { __typename: type, id };
}
