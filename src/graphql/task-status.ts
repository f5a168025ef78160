import {
  type LocalizedText,
  type Task,
  type TaskDefinition,
  type TaskMessage,
  type TaskReturn,
  effectivePercentCompleteOf,
  elapsedSecondsOf,
  estimatedCompletionOf,
  stateOf,
} from '../task/task.ts';
import { builder } from './builder.ts';
import { TaskCompletionStatus, TaskMessageType, TaskState, TaskType } from './enums.ts';
import { Target } from './target.ts';
import { TaskStatus } from './task-status-ref.ts';

const LocalizedMessage = builder.objectRef<LocalizedText>('LocalizedMessage').implement({
  description: 'A text in one language.',
  fields: t => ({
    locale: t.exposeString('locale', {
      nullable: true,
      description: 'The language, as a BCP 47 tag; null where upstream does not say.',
    }),
    message: t.exposeString('message', { description: 'The text.' }),
  }),
});

const TaskStatusMessage = builder.objectRef<TaskMessage>('TaskStatusMessage').implement({
  description: 'A message that the task has written.',
  fields: t => ({
    type: t.expose('type', {
      type: TaskMessageType,
      description: 'The severity; UNKNOWN where upstream does not say.',
    }),
    key: t.exposeString('key', {
      description:
        'The key of the text; in practice often the text itself. Where upstream sends no key it is the text of `localizedText`, else empty.',
    }),
    localizedText: t.expose('localizedText', {
      type: LocalizedMessage,
      nullable: true,
      description: 'The text in a language, where upstream has one.',
    }),
    parameters: t.expose('parameters', {
      type: 'JSON',
      nullable: true,
      description: 'What the text is filled with.',
    }),
  }),
});

const TaskReturnDetails = builder.objectRef<TaskReturn>('TaskReturnDetails').implement({
  description: 'A result that a task of this kind gives.',
  fields: t => ({
    name: t.exposeString('name', {
      description: 'The label of the result; equal to `attributeName` where it has none.',
    }),
    attributeName: t.exposeString('attributeName', {
      description: 'Its key in `attributes` of the task.',
    }),
  }),
});

const TaskDefinitionSummary = builder.objectRef<TaskDefinition>('TaskDefinitionSummary').implement({
  description: 'The definition that a task was made from.',
  // Shareable, so that whoever owns definitions may have these fields too.
  directives: { key: { fields: 'id', resolvable: false }, shareable: {} },
  fields: t => ({
    id: t.exposeID('id', { description: 'The id of the definition.' }),
    uniqueName: t.exposeString('uniqueName', { description: 'The name, unique in the tenant.' }),
    description: t.exposeString('description', {
      nullable: true,
      description: 'What such tasks do.',
    }),
    parentName: t.exposeString('parentName', {
      nullable: true,
      description: 'The name of the parent definition.',
    }),
    executor: t.exposeString('executor', {
      nullable: true,
      description: 'The class that runs such tasks.',
    }),
    arguments: t.expose('arguments', {
      type: 'JSON',
      description: 'The formal parameters, an object.',
    }),
  }),
});

TaskStatus.implement({
  description: 'A background task of the tenant, as it stood when it was read.',
  directives: { key: { fields: 'id' } },
  fields: t => ({
    id: t.exposeID('id', { description: 'The id upstream gave it, unencoded.' }),
    type: t.expose('type', { type: TaskType, description: 'How upstream runs it.' }),
    uniqueName: t.exposeString('uniqueName', {
      description:
        "The name of the task. Where upstream sends none: its definition's name, else its description, else empty.",
    }),
    description: t.exposeString('description', {
      nullable: true,
      description: 'What the task does.',
    }),
    parentName: t.exposeString('parentName', {
      nullable: true,
      description: 'The name of the parent task.',
    }),
    launcher: t.exposeString('launcher', {
      nullable: true,
      description: 'The user or service that started it.',
    }),
    target: t.expose('target', {
      type: Target,
      nullable: true,
      description: 'What it runs against.',
    }),
    created: t.expose('created', { type: 'DateTime', description: 'When it was created.' }),
    modified: t.expose('modified', {
      type: 'DateTime',
      nullable: true,
      description: 'When its record last changed.',
    }),
    launched: t.expose('launched', {
      type: 'DateTime',
      nullable: true,
      description: 'When it began to run.',
    }),
    completed: t.expose('completed', {
      type: 'DateTime',
      nullable: true,
      description:
        'When it ended. Upstream usually sets it a moment before `completionStatus`; for a few tasks it stays null.',
    }),
    completionStatus: t.expose('completionStatus', {
      type: TaskCompletionStatus,
      nullable: true,
      description: 'How it ended. The task is COMPLETED as soon as this is set.',
    }),
    messages: t.expose('messages', {
      type: [TaskStatusMessage],
      description: 'What it has said, oldest first.',
    }),
    returns: t.expose('returns', {
      type: [TaskReturnDetails],
      description: 'The results such a task gives.',
    }),
    attributes: t.expose('attributes', {
      type: 'JSON',
      description: 'Its results and settings, an object.',
    }),
    progress: t.exposeString('progress', {
      nullable: true,
      description: 'What it is doing, as upstream words it.',
    }),
    percentComplete: t.exposeInt('percentComplete', {
      description:
        'The percentage that upstream reports, 0–100; 0 where it reports none. Many finished tasks are at 0: use `effectivePercentComplete` for a progress bar.',
    }),
    taskDefinitionSummary: t.expose('taskDefinitionSummary', {
      type: TaskDefinitionSummary,
      nullable: true,
      description: 'The definition it was made from, where upstream tells.',
    }),
    rawType: t.exposeString('rawType', {
      description: 'The type in the word upstream sent; empty where it sent none.',
    }),
    rawCompletionStatus: t.exposeString('rawCompletionStatus', {
      nullable: true,
      description: 'The completion status in the word upstream sent.',
    }),
    state: t.field({
      type: TaskState,
      description: "The task's current state, derived from its dates and its completion status.",
      resolve: stateOf,
    }),
    effectivePercentComplete: t.int({
      description:
        'The percentage to show, 0–100: 100 as soon as `completed` or `completionStatus` is set, `percentComplete` until then. Within a subscription it never falls.',
      resolve: effectivePercentCompleteOf,
    }),
    elapsedSeconds: t.float({
      nullable: true,
      description:
        'Seconds from `launched` to `completed`, or until now while it runs. Null before launch. For a task that has ended without a date, the seconds to `modified`, null if there is none.',
      resolve: (task: Task, _args, { now }) => elapsedSecondsOf(task, now()),
    }),
    estimatedCompletion: t.field({
      type: 'DateTime',
      nullable: true,
      description:
        'When it would end if the rest goes as fast as what is done. Null unless the task runs and `effectivePercentComplete` is from 1 to 99.',
      resolve: (task: Task, _args, { now }) => estimatedCompletionOf(task, now()),
    }),
  }),
});
