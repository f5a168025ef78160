import { builder } from './builder.ts';
import {
  TaskStatusConnection,
  costOfList,
  listArguments,
  resolveConnection,
} from './connection.ts';
import { COUNTS_ARGUMENTS, TaskStatusCounts, costOfCounts } from './counts.ts';
import { toTaskFilter } from './filters.ts';
import { costs } from './cost.ts';
import { TaskStatus } from './task-status-ref.ts';

builder.queryType({
  description: 'Reads of tasks.',
  fields: t => ({
    taskStatus: t.field({
      type: TaskStatus,
      nullable: true,
      description: 'The task with this id; null if it does not exist.',
      extensions: costs({ ids: 1 }),
      args: { id: t.arg.id({ required: true, description: 'The id of the task.' }) },
      resolve: (_root, { id }, { caller, read }) => caller.session.tasks.load(id, read),
    }),
    taskStatuses: t.field({
      type: TaskStatusConnection,
      description:
        'A list of the tasks of the last 90 days. On v2024 and beta it contains only tasks that have ended.',
      args: listArguments(50),
      extensions: costs(costOfList),
      resolve: (_root, args, context, info) =>
        resolveConnection(args, toTaskFilter(args.filter), context, info),
    }),
    taskStatusCounts: t.field({
      type: TaskStatusCounts,
      description:
        'How many tasks of the last 90 days match a filter, in total and by completion status.',
      args: COUNTS_ARGUMENTS,
      extensions: costs(costOfCounts),
      resolve: (_root, { filter }) => ({ filter: toTaskFilter(filter) }),
    }),
  }),
});
