import { builder } from './builder.ts';
import { TaskStatusConnection, resolveConnection } from './connection.ts';
import { TaskStatusFilter, TaskStatusOrder, toTaskFilter, toTaskOrder } from './filters.ts';
import { TaskStatus } from './task-status-ref.ts';

const DEFAULT_FIRST = 50;

builder.queryType({
  description: 'Reading.',
  fields: t => ({
    taskStatus: t.field({
      type: TaskStatus,
      nullable: true,
      description: 'One task; null when upstream has none of that id.',
      args: { id: t.arg.id({ required: true, description: 'The id of the task.' }) },
      resolve: (_root, { id }, { caller }) => caller.session.tasks.load(id),
    }),
    taskStatuses: t.field({
      type: TaskStatusConnection,
      description:
        'Tasks of the last 90 days, newest first unless told otherwise. On v2024 and beta upstream lists only tasks that have ended.',
      args: {
        filter: t.arg({
          type: TaskStatusFilter,
          description: 'Which of them; all where it is left out.',
        }),
        orderBy: t.arg({ type: TaskStatusOrder, description: 'In which order.' }),
        first: t.arg.int({ defaultValue: DEFAULT_FIRST, description: 'At most this many, 0–250.' }),
        after: t.arg.string({ description: 'Only what follows this cursor.' }),
      },
      resolve: (_root, { filter, orderBy, first, after }, context, info) =>
        resolveConnection(
          toTaskFilter(filter),
          toTaskOrder(orderBy),
          { first: first ?? DEFAULT_FIRST, after },
          context,
          info,
        ),
    }),
  }),
});
