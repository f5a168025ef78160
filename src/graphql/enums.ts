import { builder } from './builder.ts';

const UNKNOWN = {
  description: 'A value that upstream has added since; the raw field beside this one has it.',
};

export const TaskType = builder.enumType('TaskType', {
  description:
    'How upstream runs the task. It is not the vocabulary that `definitionType` filters by.',
  values: {
    QUARTZ: { description: "A job of the tenant's scheduler; nearly every task is one." },
    QPOC: { description: 'A job of the queue processor.' },
    QUEUED_TASK: { description: 'A task that waits in a queue.' },
    UNKNOWN,
  },
});

export const TaskCompletionStatus = builder.enumType('TaskCompletionStatus', {
  description: 'How a task ended.',
  values: {
    SUCCESS: { description: 'It did what it was to do.' },
    WARNING: { description: 'It ended, and left something undone; its messages say what.' },
    ERROR: { description: 'It failed.' },
    TERMINATED: { description: 'It was stopped.' },
    TEMPERROR: { description: 'It failed for a reason expected to pass.' },
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
        '`completionStatus` is set. A task whose `completed` date is set and whose status is not is still RUNNING: upstream writes the status a moment later.',
    },
  },
});

export const TargetType = builder.enumType('TargetType', {
  description: 'What kind of thing a task runs against.',
  values: {
    APPLICATION: { description: 'A source.' },
    IDENTITY: { description: 'An identity.' },
    UNKNOWN,
  },
});

export const TaskMessageType = builder.enumType('TaskMessageType', {
  description: 'How grave a message is.',
  values: {
    INFO: { description: 'Good to know.' },
    WARN: { description: 'Something was left undone.' },
    ERROR: { description: 'Something failed.' },
    UNKNOWN,
  },
});

export const TaskStatusChangeKind = builder.enumType('TaskStatusChangeKind', {
  description: 'What became of a task.',
  values: {
    SNAPSHOT: { description: 'It matched when the subscription began.' },
    ADDED: { description: 'It was created, or has begun to match.' },
    UPDATED: { description: 'Something a caller can see has changed.' },
    COMPLETED: {
      description:
        'It has ended. For a task that started and ended between two looks at upstream this is the first event too.',
    },
  },
});
