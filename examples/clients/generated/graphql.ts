/* eslint-disable */
/** Internal type. DO NOT USE DIRECTLY. */
type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
/** Internal type. DO NOT USE DIRECTLY. */
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
import type { TypedDocumentNode as DocumentNode } from '@graphql-typed-document-node/core';
/** How far an account aggregation is. */
export type AccountAggregationStatus =
  /** All accounts are collected; upstream processes them. */
  | 'ACCOUNTS_COLLECTED'
  /** The aggregation was cancelled. */
  | 'CANCELLED'
  /** The aggregation has ended, possibly with errors. */
  | 'COMPLETED'
  /** Upstream knows no such aggregation; only v1 answers so. */
  | 'NOT_FOUND'
  /** The aggregation was replaced by another attempt. */
  | 'RETRIED'
  /** Upstream collects the accounts from the source. */
  | 'STARTED'
  /** The aggregation was stopped before its end. */
  | 'TERMINATED'
  /** A value that this schema does not know yet. The corresponding `raw…` field, if there is one, holds it as upstream sent it. */
  | 'UNKNOWN';

/** The kind of object that a task runs against. */
export type TargetType =
  /** A source. */
  | 'APPLICATION'
  /** An identity. */
  | 'IDENTITY'
  /** A value that this schema does not know yet. The corresponding `raw…` field, if there is one, holds it as upstream sent it. */
  | 'UNKNOWN';

/** The result of a task that has ended. */
export type TaskCompletionStatus =
  /** The task failed. */
  | 'ERROR'
  /** The task succeeded. */
  | 'SUCCESS'
  /** The task failed for a temporary reason. */
  | 'TEMPERROR'
  /** The task was stopped before its end. */
  | 'TERMINATED'
  /** A value that this schema does not know yet. The corresponding `raw…` field, if there is one, holds it as upstream sent it. */
  | 'UNKNOWN'
  /** The task ended but did not do everything; its messages say what is missing. */
  | 'WARNING';

/** A condition on the completion status. Set exactly one field. */
export type TaskCompletionStatusFilter =
  {   /** Matches this value. UNKNOWN is not allowed. */
  eq: TaskCompletionStatus; in?: never; isNull?: never; }
  |  { eq?: never;   /** Matches any of these values. An empty list matches no task. */
  in: Array<TaskCompletionStatus>; isNull?: never; }
  |  { eq?: never; in?: never;   /** True: the task has no status yet. False: it has one. Not available on v2024 and beta. */
  isNull: boolean; };

/** The severity of a message. */
export type TaskMessageType =
  /** An error: something failed. */
  | 'ERROR'
  /** Information only. */
  | 'INFO'
  /** A value that this schema does not know yet. The corresponding `raw…` field, if there is one, holds it as upstream sent it. */
  | 'UNKNOWN'
  /** A warning: something was not done. */
  | 'WARN';

/** A task's current state, derived from its dates and its completion status. */
export type TaskState =
  /** `completionStatus` is set. A task with a `completed` date but no status is still RUNNING, because upstream sets the status a moment later. */
  | 'COMPLETED'
  /** Created, but not yet launched. */
  | 'PENDING'
  /** Launched, without a completion status yet. */
  | 'RUNNING';

/** The kind of change that an event reports. */
export type TaskStatusChangeKind =
  /** The task was created, or has begun to match the filter. */
  | 'ADDED'
  /** The task has ended. If it started and ended between two polls of upstream, this is its first event. */
  | 'COMPLETED'
  /** The task already matched when the subscription began. */
  | 'SNAPSHOT'
  /** Every task that matched when the subscription began has been sent; there may be none. `taskStatus` is null. Changes that happened meanwhile may come before it. After a reconnect, a task that the client knows and that has not been sent again by now no longer matches or has ended: read it by id. */
  | 'SNAPSHOT_COMPLETE'
  /** A visible field of the task has changed. */
  | 'UPDATED';

/** A range of creation dates. At least one bound is required. Upstream cannot filter by date, but its lists are ordered by it. A list is read up to the far bound; the near bound, from which the list starts (`lt` if newest first, `gte` if oldest first), is searched for. So a page of the last 24 hours, newest first, costs the same upstream requests as a page without a range. A search costs about 5 requests the first time and 1 or 2 for a bound near one that was found before; `totalCount` searches for each bound. */
export type TaskStatusCreatedFilter = {
  /** Created at this instant or later. */
  gte?: string | null | undefined;
  /** Created before this instant. */
  lt?: string | null | undefined;
};

/** Selects the tasks that meet every condition given. A condition that the configured API version does not support is refused with BAD_USER_INPUT. */
export type TaskStatusFilter = {
  /** The completion status of the task. */
  completionStatus?: TaskCompletionStatusFilter | null | undefined;
  /** When the task was created. */
  created?: TaskStatusCreatedFilter | null | undefined;
  /** The type of the task's definition in upstream's terms, such as CLOUD_ACCOUNT_AGGREGATION. These are not the values of `TaskStatus.type`. */
  definitionType?: TaskStatusStringFilter | null | undefined;
  /** The id of the task. */
  id?: TaskStatusIdFilter | null | undefined;
  /** The user or service that started the task. Available on v2026 and v1 only. */
  launcher?: TaskStatusStringFilter | null | undefined;
  /** The id of the source that the task runs against. */
  sourceId?: TaskStatusIdFilter | null | undefined;
};

/** A condition on an id. Set exactly one field. */
export type TaskStatusIdFilter =
  {   /** Matches this value. */
  eq: string; in?: never; }
  |  { eq?: never;   /** Matches any of these values. An empty list matches no task. */
  in: Array<string>; };

/** A condition on a string. Set exactly one field. Upstream ignores case when it compares. */
export type TaskStatusStringFilter =
  {   /** Matches this value. */
  eq: string; in?: never; }
  |  { eq?: never;   /** Matches any of these values. An empty list matches no task. */
  in: Array<string>; };

/** The kind of job that runs the task. These are not the values of the filter `definitionType`. */
export type TaskType =
  /** A job of the queue processor. */
  | 'QPOC'
  /** A job of the tenant's scheduler, as nearly all tasks are. */
  | 'QUARTZ'
  /** A task that waits in a queue. */
  | 'QUEUED_TASK'
  /** A value that this schema does not know yet. The corresponding `raw…` field, if there is one, holds it as upstream sent it. */
  | 'UNKNOWN';

export type TaskQueryVariables = Exact<{
  id: string;
}>;


export type TaskQuery = { taskStatus: { id: string, uniqueName: string, created: string, state: TaskState, completionStatus: TaskCompletionStatus | null, effectivePercentComplete: number, messages: Array<{ type: TaskMessageType, key: string, localizedText: { message: string } | null }>, target: { type: TargetType | null, name: string | null } | null } | null };

export type TasksQueryVariables = Exact<{
  filter?: TaskStatusFilter | null | undefined;
  first: number;
  after?: string | null | undefined;
}>;


export type TasksQuery = { taskStatuses: { edges: Array<{ cursor: string, node: { id: string, uniqueName: string, created: string, state: TaskState, completionStatus: TaskCompletionStatus | null, effectivePercentComplete: number, target: { type: TargetType | null, name: string | null } | null } }>, pageInfo: { hasNextPage: boolean, endCursor: string | null } } };

export type TaskProgressSubscriptionVariables = Exact<{
  id: string;
}>;


export type TaskProgressSubscription = { taskProgress: { id: string, uniqueName: string, created: string, state: TaskState, completionStatus: TaskCompletionStatus | null, effectivePercentComplete: number, target: { type: TargetType | null, name: string | null } | null } };

export type TaskChangesSubscriptionVariables = Exact<{
  filter?: TaskStatusFilter | null | undefined;
}>;


export type TaskChangesSubscription = { taskStatusChanged: { kind: TaskStatusChangeKind, taskStatus: { id: string, uniqueName: string, created: string, state: TaskState, completionStatus: TaskCompletionStatus | null, effectivePercentComplete: number, target: { type: TargetType | null, name: string | null } | null } | null } };

export type TaskRowFragment = { id: string, uniqueName: string, created: string, state: TaskState, completionStatus: TaskCompletionStatus | null, effectivePercentComplete: number, target: { type: TargetType | null, name: string | null } | null };

export type WholeTaskQueryVariables = Exact<{
  id: string;
}>;


export type WholeTaskQuery = { taskStatus: { nodeId: string, id: string, type: TaskType, rawType: string, uniqueName: string, description: string | null, parentName: string | null, launcher: string | null, created: string, modified: string | null, launched: string | null, completed: string | null, completionStatus: TaskCompletionStatus | null, rawCompletionStatus: string | null, attributes: unknown, progress: string | null, percentComplete: number, state: TaskState, effectivePercentComplete: number, elapsedSeconds: number | null, estimatedCompletion: string | null, target: { id: string | null, type: TargetType | null, rawType: string | null, name: string | null, source: { id: string } | null, identity: { id: string } | null } | null, messages: Array<{ type: TaskMessageType, key: string, parameters: unknown, localizedText: { locale: string | null, message: string } | null }>, returns: Array<{ name: string, attributeName: string }>, taskDefinitionSummary: { id: string, uniqueName: string, description: string | null, parentName: string | null, executor: string | null, arguments: unknown } | null, accountAggregation: { status: AccountAggregationStatus, rawStatus: string, started: string | null, totalAccounts: number | null, processedAccounts: number | null, totalAccountsMarkedForDeletion: number | null, deletedAccounts: number | null, totalIdentities: number | null, processedIdentities: number | null, percentComplete: number | null } | null } | null };

export const TaskRowFragmentDoc = {"kind":"Document","definitions":[{"kind":"FragmentDefinition","name":{"kind":"Name","value":"TaskRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"TaskStatus"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"uniqueName"}},{"kind":"Field","name":{"kind":"Name","value":"created"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"completionStatus"}},{"kind":"Field","name":{"kind":"Name","value":"effectivePercentComplete"}},{"kind":"Field","name":{"kind":"Name","value":"target"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"name"}}]}}]}}]} as unknown as DocumentNode<TaskRowFragment, unknown>;
export const TaskDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Task"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"id"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"taskStatus"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"id"},"value":{"kind":"Variable","name":{"kind":"Name","value":"id"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"TaskRow"}},{"kind":"Field","name":{"kind":"Name","value":"messages"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"key"}},{"kind":"Field","name":{"kind":"Name","value":"localizedText"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"message"}}]}}]}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"TaskRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"TaskStatus"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"uniqueName"}},{"kind":"Field","name":{"kind":"Name","value":"created"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"completionStatus"}},{"kind":"Field","name":{"kind":"Name","value":"effectivePercentComplete"}},{"kind":"Field","name":{"kind":"Name","value":"target"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"name"}}]}}]}}]} as unknown as DocumentNode<TaskQuery, TaskQueryVariables>;
export const TasksDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Tasks"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"filter"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"TaskStatusFilter"}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"first"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"Int"}}}},{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"after"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"String"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"taskStatuses"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"filter"},"value":{"kind":"Variable","name":{"kind":"Name","value":"filter"}}},{"kind":"Argument","name":{"kind":"Name","value":"first"},"value":{"kind":"Variable","name":{"kind":"Name","value":"first"}}},{"kind":"Argument","name":{"kind":"Name","value":"after"},"value":{"kind":"Variable","name":{"kind":"Name","value":"after"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"edges"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"cursor"}},{"kind":"Field","name":{"kind":"Name","value":"node"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"TaskRow"}}]}}]}},{"kind":"Field","name":{"kind":"Name","value":"pageInfo"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"hasNextPage"}},{"kind":"Field","name":{"kind":"Name","value":"endCursor"}}]}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"TaskRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"TaskStatus"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"uniqueName"}},{"kind":"Field","name":{"kind":"Name","value":"created"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"completionStatus"}},{"kind":"Field","name":{"kind":"Name","value":"effectivePercentComplete"}},{"kind":"Field","name":{"kind":"Name","value":"target"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"name"}}]}}]}}]} as unknown as DocumentNode<TasksQuery, TasksQueryVariables>;
export const TaskProgressDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"subscription","name":{"kind":"Name","value":"TaskProgress"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"id"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"taskProgress"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"id"},"value":{"kind":"Variable","name":{"kind":"Name","value":"id"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"TaskRow"}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"TaskRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"TaskStatus"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"uniqueName"}},{"kind":"Field","name":{"kind":"Name","value":"created"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"completionStatus"}},{"kind":"Field","name":{"kind":"Name","value":"effectivePercentComplete"}},{"kind":"Field","name":{"kind":"Name","value":"target"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"name"}}]}}]}}]} as unknown as DocumentNode<TaskProgressSubscription, TaskProgressSubscriptionVariables>;
export const TaskChangesDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"subscription","name":{"kind":"Name","value":"TaskChanges"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"filter"}},"type":{"kind":"NamedType","name":{"kind":"Name","value":"TaskStatusFilter"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"taskStatusChanged"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"filter"},"value":{"kind":"Variable","name":{"kind":"Name","value":"filter"}}},{"kind":"Argument","name":{"kind":"Name","value":"snapshot"},"value":{"kind":"BooleanValue","value":true}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"kind"}},{"kind":"Field","name":{"kind":"Name","value":"taskStatus"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"FragmentSpread","name":{"kind":"Name","value":"TaskRow"}}]}}]}}]}},{"kind":"FragmentDefinition","name":{"kind":"Name","value":"TaskRow"},"typeCondition":{"kind":"NamedType","name":{"kind":"Name","value":"TaskStatus"}},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"uniqueName"}},{"kind":"Field","name":{"kind":"Name","value":"created"}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"completionStatus"}},{"kind":"Field","name":{"kind":"Name","value":"effectivePercentComplete"}},{"kind":"Field","name":{"kind":"Name","value":"target"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"name"}}]}}]}}]} as unknown as DocumentNode<TaskChangesSubscription, TaskChangesSubscriptionVariables>;
export const WholeTaskDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"WholeTask"},"variableDefinitions":[{"kind":"VariableDefinition","variable":{"kind":"Variable","name":{"kind":"Name","value":"id"}},"type":{"kind":"NonNullType","type":{"kind":"NamedType","name":{"kind":"Name","value":"ID"}}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"taskStatus"},"arguments":[{"kind":"Argument","name":{"kind":"Name","value":"id"},"value":{"kind":"Variable","name":{"kind":"Name","value":"id"}}}],"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"nodeId"}},{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"rawType"}},{"kind":"Field","name":{"kind":"Name","value":"uniqueName"}},{"kind":"Field","name":{"kind":"Name","value":"description"}},{"kind":"Field","name":{"kind":"Name","value":"parentName"}},{"kind":"Field","name":{"kind":"Name","value":"launcher"}},{"kind":"Field","name":{"kind":"Name","value":"target"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"rawType"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"source"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}}]}},{"kind":"Field","name":{"kind":"Name","value":"identity"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}}]}}]}},{"kind":"Field","name":{"kind":"Name","value":"created"}},{"kind":"Field","name":{"kind":"Name","value":"modified"}},{"kind":"Field","name":{"kind":"Name","value":"launched"}},{"kind":"Field","name":{"kind":"Name","value":"completed"}},{"kind":"Field","name":{"kind":"Name","value":"completionStatus"}},{"kind":"Field","name":{"kind":"Name","value":"rawCompletionStatus"}},{"kind":"Field","name":{"kind":"Name","value":"messages"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"type"}},{"kind":"Field","name":{"kind":"Name","value":"key"}},{"kind":"Field","name":{"kind":"Name","value":"localizedText"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"locale"}},{"kind":"Field","name":{"kind":"Name","value":"message"}}]}},{"kind":"Field","name":{"kind":"Name","value":"parameters"}}]}},{"kind":"Field","name":{"kind":"Name","value":"returns"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"attributeName"}}]}},{"kind":"Field","name":{"kind":"Name","value":"attributes"}},{"kind":"Field","name":{"kind":"Name","value":"progress"}},{"kind":"Field","name":{"kind":"Name","value":"percentComplete"}},{"kind":"Field","name":{"kind":"Name","value":"taskDefinitionSummary"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"uniqueName"}},{"kind":"Field","name":{"kind":"Name","value":"description"}},{"kind":"Field","name":{"kind":"Name","value":"parentName"}},{"kind":"Field","name":{"kind":"Name","value":"executor"}},{"kind":"Field","name":{"kind":"Name","value":"arguments"}}]}},{"kind":"Field","name":{"kind":"Name","value":"state"}},{"kind":"Field","name":{"kind":"Name","value":"effectivePercentComplete"}},{"kind":"Field","name":{"kind":"Name","value":"elapsedSeconds"}},{"kind":"Field","name":{"kind":"Name","value":"estimatedCompletion"}},{"kind":"Field","name":{"kind":"Name","value":"accountAggregation"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"status"}},{"kind":"Field","name":{"kind":"Name","value":"rawStatus"}},{"kind":"Field","name":{"kind":"Name","value":"started"}},{"kind":"Field","name":{"kind":"Name","value":"totalAccounts"}},{"kind":"Field","name":{"kind":"Name","value":"processedAccounts"}},{"kind":"Field","name":{"kind":"Name","value":"totalAccountsMarkedForDeletion"}},{"kind":"Field","name":{"kind":"Name","value":"deletedAccounts"}},{"kind":"Field","name":{"kind":"Name","value":"totalIdentities"}},{"kind":"Field","name":{"kind":"Name","value":"processedIdentities"}},{"kind":"Field","name":{"kind":"Name","value":"percentComplete"}}]}}]}}]}}]} as unknown as DocumentNode<WholeTaskQuery, WholeTaskQueryVariables>;