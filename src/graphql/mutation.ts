import { GatewayError } from '../errors.ts';
import type { CompletionStatus, Task } from '../task/task.ts';
import { builder } from './builder.ts';
import { TaskCompletionStatus } from './enums.ts';
import { costs } from './cost.ts';
import { TaskStatus } from './task-status-ref.ts';

const UpdateTaskStatusInput = builder.inputType('UpdateTaskStatusInput', {
  description: "What a task's record is to say.",
  fields: t => ({
    id: t.id({ required: true, description: 'The id of the task.' }),
    completionStatus: t.field({
      type: TaskCompletionStatus,
      required: true,
      description: 'How the task is to have ended. UNKNOWN is refused.',
    }),
    completed: t.field({
      type: 'DateTime',
      description: 'When it is to have ended; now, when left out.',
    }),
  }),
});

const UpdateTaskStatusPayload = builder
  .objectRef<{ taskStatus: Task }>('UpdateTaskStatusPayload')
  .implement({
    description: 'What an update came to.',
    fields: t => ({
      taskStatus: t.expose('taskStatus', {
        type: TaskStatus,
        description: 'The task as it is now.',
      }),
    }),
  });

builder.mutationType({
  description: 'Writing.',
  fields: t => ({
    updateTaskStatus: t.field({
      type: UpdateTaskStatusPayload,
      directives: { tag: { name: 'write' } },
      description:
        "Clears a pending task by writing its end into its record. It does not stop the job. Upstream allows it to users' tokens only.",
      args: {
        input: t.arg({
          type: UpdateTaskStatusInput,
          required: true,
          description: 'What to write.',
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
  throw new GatewayError(
    'BAD_USER_INPUT',
    '`completionStatus` UNKNOWN is no status that a task can be given.',
  );
}
