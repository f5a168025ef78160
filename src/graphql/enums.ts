import { builder } from './builder.ts';

const UNKNOWN = {
  description:
    'A value that this schema does not know yet. The corresponding `raw…` field, if there is one, holds it as upstream sent it.',
};

export const TaskType = builder.enumType('TaskType', {
  description:
    'The kind of job that runs the task. These are not the values of the filter `definitionType`.',
  values: {
    QUARTZ: { description: "A job of the tenant's scheduler, as nearly all tasks are." },
    QPOC: { description: 'A job of the queue processor.' },
    QUEUED_TASK: { description: 'A task that waits in a queue.' },
    UNKNOWN,
  },
});

export const TaskCompletionStatus = builder.enumType('TaskCompletionStatus', {
  description: 'The result of a task that has ended.',
  values: {
    SUCCESS: { description: 'The task succeeded.' },
    WARNING: {
      description: 'The task ended but did not do everything; its messages say what is missing.',
    },
    ERROR: { description: 'The task failed.' },
    TERMINATED: { description: 'The task was stopped before its end.' },
    TEMPERROR: { description: 'The task failed for a temporary reason.' },
    UNKNOWN,
  },
});

export const TaskState = builder.enumType('TaskState', {
  description: "A task's current state, derived from its dates and its completion status.",
  values: {
    PENDING: { description: 'Created, but not yet launched.' },
    RUNNING: { description: 'Launched, without a completion status yet.' },
    COMPLETED: {
      description:
        '`completionStatus` is set. A task with a `completed` date but no status is still RUNNING, because upstream sets the status a moment later.',
    },
  },
});

export const AccountAggregationStatus = builder.enumType('AccountAggregationStatus', {
  description: 'How far an account aggregation is.',
  values: {
    STARTED: { description: 'Upstream collects the accounts from the source.' },
    ACCOUNTS_COLLECTED: { description: 'All accounts are collected; upstream processes them.' },
    COMPLETED: { description: 'The aggregation has ended, possibly with errors.' },
    CANCELLED: { description: 'The aggregation was cancelled.' },
    RETRIED: { description: 'The aggregation was replaced by another attempt.' },
    TERMINATED: { description: 'The aggregation was stopped before its end.' },
    NOT_FOUND: { description: 'Upstream knows no such aggregation; only v1 answers so.' },
    UNKNOWN,
  },
});

export const TargetType = builder.enumType('TargetType', {
  description: 'The kind of object that a task runs against.',
  values: {
    APPLICATION: { description: 'A source.' },
    IDENTITY: { description: 'An identity.' },
    UNKNOWN,
  },
});

export const TaskMessageType = builder.enumType('TaskMessageType', {
  description: 'The severity of a message.',
  values: {
    INFO: { description: 'Information only.' },
    WARN: { description: 'A warning: something was not done.' },
    ERROR: { description: 'An error: something failed.' },
    UNKNOWN,
  },
});

export const TaskStatusChangeKind = builder.enumType('TaskStatusChangeKind', {
  description: 'The kind of change that an event reports.',
  values: {
    SNAPSHOT: { description: 'The task already matched when the subscription began.' },
    SNAPSHOT_COMPLETE: {
      description:
        'Every task that matched when the subscription began has been sent; there may be none. `taskStatus` is null. Changes that happened meanwhile may come before it. After a reconnect, a task that the client knows and that has not been sent again by now no longer matches or has ended: read it by id.',
    },
    ADDED: { description: 'The task was created, or has begun to match the filter.' },
    UPDATED: { description: 'A visible field of the task has changed.' },
    COMPLETED: {
      description:
        'The task has ended. If it started and ended between two polls of upstream, this is its first event.',
    },
  },
});
