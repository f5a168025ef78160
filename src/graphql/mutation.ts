import { GatewayError } from '../errors.ts';
import type { CompletionStatus, Task } from '../task/task.ts';
import { builder } from './builder.ts';
import { TaskCompletionStatus } from './enums.ts';
import { costs } from './cost.ts';
import { TaskStatus } from './task-status-ref.ts';

const UpdateTaskStatusInput = builder.inputType('UpdateTaskStatusInput', {
  description: "The end to write into a task's record.",
  fields: t => ({
    id: t.id({ required: true, description: 'The id of the task.' }),
    completionStatus: t.field({
      type: TaskCompletionStatus,
      required: true,
      description: 'The completion status to set. UNKNOWN is not allowed.',
    }),
    completed: t.field({
      type: 'DateTime',
      description: 'The end date to set. By default, the current time.',
    }),
  }),
});

const UpdateTaskStatusPayload = builder
  .objectRef<{ taskStatus: Task }>('UpdateTaskStatusPayload')
  .implement({
    description: 'The result of an update.',
    fields: t => ({
      taskStatus: t.expose('taskStatus', {
        type: TaskStatus,
        description: 'The task after the update.',
      }),
    }),
  });

builder.mutationType({
  description: 'Changes to tasks.',
  fields: t => ({
    updateTaskStatus: t.field({
      type: UpdateTaskStatusPayload,
      directives: { tag: { name: 'write' } },
      description:
        "Clears a pending task by setting its completion status and end date. This does not stop the job. Upstream allows it only with a user's token.",
      args: {
        input: t.arg({
          type: UpdateTaskStatusInput,
          required: true,
          description: 'The task, and the end to set.',
        }),
      },
      extensions: costs({ requests: 1 }),
      resolve: async (_root, { input }, { caller, now, read }) => ({
        taskStatus: await caller.session.update(
          input.id,
          {
            completionStatus: known(input.completionStatus),
            completed: input.completed?.getTime() ?? now(),
          },
          read,
        ),
      }),
    }),
  }),
});

function known(status: CompletionStatus): CompletionStatus {
  if (status !== 'UNKNOWN') return status;
  throw new GatewayError('BAD_USER_INPUT', '`completionStatus` cannot be set to UNKNOWN.');
}
