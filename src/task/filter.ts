import type { CompletionStatus, Task } from './task.ts';

/** What a caller wants of a list: every condition given must hold. A list means any one of it. */
export interface TaskFilter {
  ids?: readonly string[];
  sourceIds?: readonly string[];
  definitionTypes?: readonly string[];
  launchers?: readonly string[];
  completionStatuses?: readonly CompletionStatus[];
  /** True: only tasks without a completion status; false: only those that have one. */
  completionStatusIsNull?: boolean;
}

export type TaskOrder = 'CREATED_ASC' | 'CREATED_DESC';

/** Asks for none of something: no task can match, and upstream need not be asked. */
export function matchesNothing(filter: TaskFilter): boolean {
  return Object.values(filter).some(value => Array.isArray(value) && value.length === 0);
}

/** The part of a filter whose answer cannot change while a task lives. */
export function lastingPartOf(filter: TaskFilter): TaskFilter {
  const { completionStatuses: _, completionStatusIsNull: __, ...lasting } = filter;
  return lasting;
}

/** Whether the rest of the filter, what `lastingPartOf` leaves out, holds for the task as it is. */
export function matchesCompletion(filter: TaskFilter, task: Task): boolean {
  const { completionStatuses, completionStatusIsNull } = filter;
  const status = task.completionStatus;
  if (completionStatusIsNull !== undefined && completionStatusIsNull !== (status === null))
    return false;
  return (
    completionStatuses === undefined || (status !== null && completionStatuses.includes(status))
  );
}
