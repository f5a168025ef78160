import { GatewayError } from '../errors.ts';
import type { Mailbox } from '../progress/mailbox.ts';
import type { SubscribeOptions } from '../progress/hub.ts';
import type { Task } from '../task/task.ts';
import type { ListEvent } from '../task/change.ts';
import { type Context, builder } from './builder.ts';
import { costs } from './cost.ts';
import { TaskStatusChangeKind } from './enums.ts';
import { selects } from './selection.ts';
import { TaskStatusFilter, toTaskFilter } from './filters.ts';
import { TaskStatus } from './task-status-ref.ts';

const TaskStatusChange = builder.objectRef<ListEvent>('TaskStatusChange').implement({
  description: 'A change of a task, or the end of the snapshot.',
  fields: t => ({
    kind: t.expose('kind', { type: TaskStatusChangeKind, description: 'The kind of change.' }),
    taskStatus: t.expose('task', {
      type: TaskStatus,
      nullable: true,
      description: 'The whole task after the change. Null in SNAPSHOT_COMPLETE, and only there.',
    }),
  }),
});

builder.subscriptionType({
  description: 'Live updates of tasks.',
  fields: t => ({
    taskProgress: t.field({
      type: TaskStatus,
      description:
        'Live updates of one task. Sends its current state, then the whole task after each change. The stream completes after the event in which the task is COMPLETED. It ends with NOT_FOUND if the task does not exist or is deleted.',
      extensions: costs({ ids: 1 }),
      args: { id: t.arg.id({ required: true, description: 'The id of the task.' }) },
      subscribe: (_root, { id }, context, info) =>
        open<Task>(context, selects(info, 'accountAggregation'), options =>
          context.caller.session.progress.subscribeToTask(id, options),
        ),
      resolve: valueOf,
    }),
    taskStatusChanged: t.field({
      type: TaskStatusChange,
      description:
        'Live updates of all tasks that match a filter: an event for each task that is added, updated or completed. With `snapshot`, the tasks that match now come first, then SNAPSHOT_COMPLETE. If `created.lt` has passed, no task can be added any more: the stream then completes once all tasks of the range have ended.',
      args: {
        filter: t.arg({
          type: TaskStatusFilter,
          description: 'Which tasks to watch. Without a filter, all tasks.',
        }),
        snapshot: t.arg.boolean({
          defaultValue: false,
          description:
            'Whether to send the tasks that match now first, at most 5,000, and SNAPSHOT_COMPLETE after the last. A snapshot that fails ends the stream with an error instead.',
        }),
      },
      extensions: costs({ requests: 1 }),
      subscribe: (_root, { filter, snapshot }, context, info) =>
        open<ListEvent>(context, selects(info, 'taskStatus', 'accountAggregation'), options =>
          context.caller.session.progress.subscribeToChanges(
            toTaskFilter(filter),
            snapshot ?? false,
            options,
          ),
        ),
      resolve: valueOf,
    }),
  }),
});

/**
 * Opens a stream that ends with the credential, with account aggregations only if they are
 * selected.
 */
function open<E extends Task | ListEvent>(
  { caller, read }: Context,
  withAggregation: boolean,
  subscribe: (options: SubscribeOptions) => Mailbox<E>,
): AsyncIterable<E | GatewayError> {
  const stream = caller.whileValid(subscribe({ withAggregation }));
  return withAggregation ? caller.session.aggregatedStreams.attach(stream, read) : stream;
}

/** Turns an error event into an error of this field. The stream ends or continues after it. */
function valueOf<T>(event: T | GatewayError): T {
  if (event instanceof GatewayError) throw event;
  return event;
}
