import { builder } from './builder.ts';
import {
  TaskStatusConnection,
  costOfSourceList,
  listArguments,
  resolveConnection,
} from './connection.ts';
import { costs } from './cost.ts';
import { COUNTS_ARGUMENTS, TaskStatusCounts, costOfCounts } from './counts.ts';
import { toTaskFilter } from './filters.ts';
import type { TaskFilter } from '../task/filter.ts';
import { Node, toNodeId } from './node.ts';
import { TaskStatus } from './task-status-ref.ts';

export const Source = builder.objectRef<{ id: string }>('Source').implement({
  description:
    'A source of the tenant. Another subgraph owns it; this one adds the tasks that ran against it, and their numbers.',
  interfaces: [Node],
  directives: { key: { fields: 'id' } },
  fields: t => ({
    nodeId: t.id({
      description:
        'The id for `node`, unique among all objects of all types. Do not parse it, and do not send it as `id`.',
      resolve: ({ id }) => toNodeId('Source', id),
    }),
    id: t.exposeID('id', { description: 'The id of the source.' }),
    tasks: t.field({
      type: TaskStatusConnection,
      description:
        'The tasks that ran against the source. A `sourceId` in the filter is an additional condition.',
      args: listArguments(10),
      extensions: costs(costOfSourceList),
      resolve: ({ id }, args, context, info) =>
        resolveConnection(args, ofSource(id, toTaskFilter(args.filter)), context, info),
    }),
    latestTask: t.field({
      type: TaskStatus,
      nullable: true,
      description:
        'The most recently created task that ran against the source; null if there is none.',
      extensions: costs(() => costOfSourceList({ first: 1 })),
      resolve: ({ id }, _args, { caller, read }) =>
        caller.session.latest({ sourceIds: [id] }, read),
    }),
    taskCounts: t.field({
      type: TaskStatusCounts,
      description:
        'How many tasks ran against the source, in total and by completion status. A `sourceId` in the filter is an additional condition.',
      args: COUNTS_ARGUMENTS,
      extensions: costs(costOfCounts),
      resolve: ({ id }, { filter }) => ({ filter: ofSource(id, toTaskFilter(filter)) }),
    }),
  }),
});

function ofSource(id: string, filter: TaskFilter): TaskFilter {
  const mayMatch = filter.sourceIds?.includes(id) ?? true;
  return { ...filter, sourceIds: mayMatch ? [id] : [] };
}
