import { builder } from './builder.ts';
import { TaskStatusConnection, resolveConnection } from './connection.ts';
import { TaskStatusFilter, TaskStatusOrder, toTaskFilter, toTaskOrder } from './filters.ts';
import { TaskStatus } from './task-status-ref.ts';

/** A page of this many where a caller says nothing. */
const DEFAULT_FIRST = 10;

export const Source = builder.objectRef<{ id: string }>('Source').implement({
  description:
    'A source of the tenant. Another subgraph owns it; this one adds the tasks that ran against it.',
  directives: { key: { fields: 'id' } },
  fields: t => ({
    id: t.exposeID('id', { description: 'The id of the source.' }),
    tasks: t.field({
      type: TaskStatusConnection,
      description: 'The tasks that ran against the source, newest first unless told otherwise.',
      args: {
        filter: t.arg({
          type: TaskStatusFilter,
          description: 'Which of them; a `sourceId` here is joined by AND.',
        }),
        orderBy: t.arg({ type: TaskStatusOrder, description: 'In which order.' }),
        first: t.arg.int({ defaultValue: DEFAULT_FIRST, description: 'At most this many, 0–250.' }),
        after: t.arg.string({ description: 'Only what follows this cursor.' }),
      },
      resolve: ({ id }, { filter, orderBy, first, after }, context, info) =>
        resolveConnection(
          ofSource(id, toTaskFilter(filter)),
          toTaskOrder(orderBy),
          { first: first ?? DEFAULT_FIRST, after },
          context,
          info,
        ),
    }),
    latestTask: t.field({
      type: TaskStatus,
      nullable: true,
      description: 'The newest task that ran against the source.',
      resolve: ({ id }, _args, { caller, signal }) =>
        caller.session.latest({ sourceIds: [id] }, { signal }),
    }),
  }),
});

function ofSource(id: string, filter: ReturnType<typeof toTaskFilter>) {
  const isAskedFor = filter.sourceIds?.includes(id) ?? true;
  return { ...filter, sourceIds: isAskedFor ? [id] : [] };
}
