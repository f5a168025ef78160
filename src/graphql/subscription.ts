import { GatewayError } from '../errors.ts';
import type { TaskChange } from '../task/change.ts';
import { builder } from './builder.ts';
import { costs } from './cost.ts';
import { TaskStatusChangeKind } from './enums.ts';
import { TaskStatusFilter, toTaskFilter } from './filters.ts';
import { TaskStatus } from './task-status-ref.ts';

const TaskStatusChange = builder.objectRef<TaskChange>('TaskStatusChange').implement({
  description: 'What became of a task.',
  fields: t => ({
    kind: t.expose('kind', { type: TaskStatusChangeKind, description: 'What became of it.' }),
    taskStatus: t.expose('task', {
      type: TaskStatus,
      description: 'The whole task, as it is then.',
    }),
  }),
});

builder.subscriptionType({
  description: 'Progress.',
  fields: t => ({
    taskProgress: t.field({
      type: TaskStatus,
      description:
        'One task: its state now, then each change, each carrying the whole task as it is then. The stream completes after the event in which the task is COMPLETED. NOT_FOUND for an unknown id, and for a task that upstream no longer has.',
      extensions: costs({ ids: 1 }),
      args: { id: t.arg.id({ required: true, description: 'The id of the task.' }) },
      subscribe: (_root, { id }, { caller }) =>
        caller.whileValid(caller.session.progress.followTask(id)),
      resolve: valueOf,
    }),
    taskStatusChanged: t.field({
      type: TaskStatusChange,
      description:
        'Every task that matches: what is there now when `snapshot`, then what is added, changes or completes.',
      args: {
        filter: t.arg({
          type: TaskStatusFilter,
          description: 'Which tasks; all where it is left out.',
        }),
        snapshot: t.arg.boolean({
          defaultValue: false,
          description: 'Whether to begin with what matches now, at most 5,000 tasks.',
        }),
      },
      extensions: costs({ requests: 1 }),
      subscribe: (_root, { filter, snapshot }, { caller }) =>
        caller.whileValid(
          caller.session.progress.followChanges(toTaskFilter(filter), snapshot ?? false),
        ),
      resolve: valueOf,
    }),
  }),
});

/** An error among the events is answered as an error of this field; the stream ends or goes on after it. */
function valueOf<T>(event: T | GatewayError): T {
  if (event instanceof GatewayError) throw event;
  return event;
}
