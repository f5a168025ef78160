import type { CompletionStatus, Task } from './task.ts';

/** Selects tasks. Every condition that is set must hold; a list means any one of its values. */
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

/** Whether the filter has an empty list. No task can match it, so no request is needed. */
export function matchesNothing(filter: TaskFilter): boolean {
  return Object.values(filter).some(value => Array.isArray(value) && value.length === 0);
}

/** The conditions whose result never changes for a task: all except the completion status. */
export function lastingPartOf(filter: TaskFilter): TaskFilter {
  const { completionStatuses: _, completionStatusIsNull: __, ...lasting } = filter;
  return lasting;
}

/** The filter, restricted to tasks with this completion status, or with none if it is null. */
export function withCompletionStatus(
  filter: TaskFilter,
  status: CompletionStatus | null,
): TaskFilter {
  const { completionStatuses, completionStatusIsNull } = filter;
  const mayMatch =
    status === null
      ? completionStatuses === undefined && completionStatusIsNull !== false
      : (completionStatuses?.includes(status) ?? true) && completionStatusIsNull !== true;
  return {
    ...lastingPartOf(filter),
    ...(status === null && mayMatch
      ? { completionStatusIsNull: true }
      : { completionStatuses: mayMatch && status !== null ? [status] : [] }),
  };
}

/**
 * Whether the task matches the conditions that `lastingPartOf` leaves out: those on its completion
 * status.
 */
export function matchesCompletion(filter: TaskFilter, task: Task): boolean {
  const { completionStatuses, completionStatusIsNull } = filter;
  const status = task.completionStatus;
  if (completionStatusIsNull !== undefined && completionStatusIsNull !== (status === null))
    return false;
  return (
    completionStatuses === undefined || (status !== null && completionStatuses.includes(status))
  );
}
