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
import {
  AccountAggregationType,
  resolveAggregation,
  withKnownAggregation,
} from './account-aggregation.ts';
import { builder } from './builder.ts';
import { costs } from './cost.ts';
import { TaskCompletionStatus, TaskMessageType, TaskState, TaskType } from './enums.ts';
import { Node, toNodeId } from './node.ts';
import { Target } from './target.ts';
import { TaskStatus } from './task-status-ref.ts';

const LocalizedMessage = builder.objectRef<LocalizedText>('LocalizedMessage').implement({
  description: 'A text in a known language.',
  directives: { shareable: {} },
  fields: t => ({
    locale: t.exposeString('locale', {
      nullable: true,
      description: 'The language as a BCP 47 tag; null if upstream does not send it.',
    }),
    message: t.exposeString('message', { description: 'The text.' }),
  }),
});

const TaskStatusMessage = builder.objectRef<TaskMessage>('TaskStatusMessage').implement({
  description: 'A message that the task wrote.',
  directives: { shareable: {} },
  fields: t => ({
    type: t.expose('type', {
      type: TaskMessageType,
      description: 'The severity; UNKNOWN if upstream does not send it.',
    }),
    key: t.exposeString('key', {
      description:
        'The key of the text, often the text itself. If upstream sends no key, this is the text of `localizedText`, or empty.',
    }),
    localizedText: t.expose('localizedText', {
      type: LocalizedMessage,
      nullable: true,
      description: 'The text with its language, if upstream sends one.',
    }),
    parameters: t.expose('parameters', {
      type: 'JSON',
      nullable: true,
      description: 'The values for the placeholders of the text.',
    }),
  }),
});

const TaskReturnDetails = builder.objectRef<TaskReturn>('TaskReturnDetails').implement({
  description: 'A result that the task returns.',
  directives: { shareable: {} },
  fields: t => ({
    name: t.exposeString('name', {
      description: 'The label of the result; the same as `attributeName` if it has no label.',
    }),
    attributeName: t.exposeString('attributeName', {
      description: "The key of the result in the task's `attributes`.",
    }),
  }),
});

const TaskDefinitionSummary = builder.objectRef<TaskDefinition>('TaskDefinitionSummary').implement({
  description: 'The definition from which a task was created.',
  // Shareable, so that the subgraph that owns definitions can define these fields too.
  directives: { key: { fields: 'id', resolvable: false }, shareable: {} },
  fields: t => ({
    id: t.exposeID('id', { description: 'The id of the definition.' }),
    uniqueName: t.exposeString('uniqueName', { description: 'The name, unique in the tenant.' }),
    description: t.exposeString('description', {
      nullable: true,
      description: 'A description of what tasks of this definition do.',
    }),
    parentName: t.exposeString('parentName', {
      nullable: true,
      description: 'The name of the parent definition.',
    }),
    executor: t.exposeString('executor', {
      nullable: true,
      description: 'The class that executes tasks of this definition.',
    }),
    arguments: t.expose('arguments', {
      type: 'JSON',
      description: 'The parameters of the definition, a JSON object.',
    }),
  }),
});

TaskStatus.implement({
  description: 'A background task of the tenant.',
  interfaces: [Node],
  directives: { key: { fields: 'id' } },
  fields: t => ({
    nodeId: t.id({
      description:
        'The id for `node`, unique among all objects of all types. Do not parse it, and do not send it as `id`.',
      resolve: ({ id }) => toNodeId('TaskStatus', id),
    }),
    id: t.exposeID('id', { description: 'The id of the task.' }),
    type: t.expose('type', { type: TaskType, description: 'The kind of job that runs the task.' }),
    uniqueName: t.exposeString('uniqueName', {
      description:
        'The name of the task. If upstream sends none, the name of its definition, its description, or empty.',
    }),
    description: t.exposeString('description', {
      nullable: true,
      description: 'A description of what the task does.',
    }),
    parentName: t.exposeString('parentName', {
      nullable: true,
      description: 'The name of the parent task.',
    }),
    launcher: t.exposeString('launcher', {
      nullable: true,
      description: 'The user or service that started the task.',
    }),
    target: t.expose('target', {
      type: Target,
      nullable: true,
      description: 'The source or identity that the task runs against.',
    }),
    created: t.expose('created', { type: 'DateTime', description: 'When the task was created.' }),
    modified: t.expose('modified', {
      type: 'DateTime',
      nullable: true,
      description: "When the task's record was last modified.",
    }),
    launched: t.expose('launched', {
      type: 'DateTime',
      nullable: true,
      description: 'When the task began to run.',
    }),
    completed: t.expose('completed', {
      type: 'DateTime',
      nullable: true,
      description:
        'When the task ended. Upstream usually sets this a moment before `completionStatus`; for a few tasks it stays null.',
    }),
    completionStatus: t.expose('completionStatus', {
      type: TaskCompletionStatus,
      nullable: true,
      description: 'The result of the task. The task is COMPLETED as soon as this is set.',
    }),
    messages: t.expose('messages', {
      type: [TaskStatusMessage],
      description: 'The messages that the task wrote, oldest first.',
    }),
    returns: t.expose('returns', {
      type: [TaskReturnDetails],
      description: 'The results that the task returns. Their values are in `attributes`.',
    }),
    attributes: t.expose('attributes', {
      type: 'JSON',
      description: 'The results and settings of the task, a JSON object.',
    }),
    progress: t.exposeString('progress', {
      nullable: true,
      description: 'The current step of the task, as text from upstream.',
    }),
    percentComplete: t.exposeInt('percentComplete', {
      description:
        'The percentage that upstream reports, 0–100; 0 if it reports none. Upstream resets it to 0 for many completed tasks, so use `effectivePercentComplete` for a progress bar.',
    }),
    taskDefinitionSummary: t.expose('taskDefinitionSummary', {
      type: TaskDefinitionSummary,
      nullable: true,
      description: 'The definition from which the task was created, if upstream sends it.',
    }),
    rawType: t.exposeString('rawType', {
      description: 'The type exactly as upstream sent it; empty if it sent none.',
    }),
    rawCompletionStatus: t.exposeString('rawCompletionStatus', {
      nullable: true,
      description: 'The completion status exactly as upstream sent it.',
    }),
    state: t.field({
      type: TaskState,
      description: "The task's current state, derived from its dates and its completion status.",
      resolve: stateOf,
    }),
    effectivePercentComplete: t.int({
      description:
        'The percentage to show in a progress bar, 0–100. It is 100 as soon as `completed` or `completionStatus` is set. Before that it is the greater of `percentComplete` and, where it is known already, the percentage of `accountAggregation`: select both for an account aggregation, because upstream often leaves `percentComplete` at 0. Within a subscription it never decreases.',
      resolve: (task: Task, _args, context, info) =>
        withKnownAggregation(task, context, info, effectivePercentCompleteOf),
    }),
    elapsedSeconds: t.float({
      nullable: true,
      description:
        'Seconds from `launched` to `completed`, or until now while the task runs. Null before launch. For a task that has ended without an end date, seconds until `modified`, or null.',
      resolve: (task: Task, _args, { now }) => elapsedSecondsOf(task, now),
    }),
    estimatedCompletion: t.field({
      type: 'DateTime',
      nullable: true,
      description:
        'The estimated end, extrapolated from `effectivePercentComplete`. Null unless the task is running and that percentage is 1–99.',
      resolve: (task: Task, _args, context, info) =>
        withKnownAggregation(task, context, info, known =>
          estimatedCompletionOf(known, context.now),
        ),
    }),
    accountAggregation: t.field({
      type: AccountAggregationType,
      nullable: true,
      description:
        'The real progress of an account aggregation. Upstream answers for one aggregation at a time, so this costs an upstream request for each account aggregation that it is selected of: in a list, as many as the page has. A subscription that selects it polls it with the task, once for all subscribers, less often when the request budget is scarce; a change in it is an event. Null for other tasks, and where upstream has none, as an hour after the end. If it cannot be read, it is null with an error for this field: FORBIDDEN where the credential may not read aggregations.',
      extensions: costs({ requests: 1 }),
      resolve: (task: Task, _args, context) => resolveAggregation(task, context),
    }),
  }),
});
