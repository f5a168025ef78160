import type { CompletionStatus, Instant, Task } from './task.ts';

/** Selects tasks. Every condition that is set must hold; a list means any one of its values. */
export interface TaskFilter {
  ids?: readonly string[];
  sourceIds?: readonly string[];
  definitionTypes?: readonly string[];
  launchers?: readonly string[];
  /** Upstream cannot check this condition: see `upstreamPartOf`. */
  created?: CreatedRange;
  completionStatuses?: readonly CompletionStatus[];
  /** True: only tasks without a completion status; false: only those that have one. */
  completionStatusIsNull?: boolean;
}

/**
 * Creation dates from `gte`, included, to `lt`, excluded. Without a bound, the range is open at
 * that end.
 */
export interface CreatedRange {
  gte?: Instant;
  lt?: Instant;
}

export type TaskOrder = 'CREATED_ASC' | 'CREATED_DESC';

/** Whether the filter has an empty list or range. No task can match it, so no request is needed. */
export function matchesNothing(filter: TaskFilter): boolean {
  const { gte = -Infinity, lt = Infinity } = filter.created ?? {};
  return (
    gte >= lt || Object.values(filter).some(value => Array.isArray(value) && value.length === 0)
  );
}

/** The conditions that a request can express: all but the creation date. */
export function upstreamPartOf(filter: TaskFilter): TaskFilter {
  const { created: _, ...others } = filter;
  return others;
}

/** The conditions whose result never changes for a task: all except the completion status. */
export function lastingPartOf(filter: TaskFilter): TaskFilter {
  const { completionStatuses: _, completionStatusIsNull: __, ...lasting } = filter;
  return lasting;
}

/** The conditions that upstream checks and whose result never changes for a task. */
export function watchedPartOf(filter: TaskFilter): TaskFilter {
  return upstreamPartOf(lastingPartOf(filter));
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
 * Whether the task matches the conditions that `watchedPartOf` leaves out: creation date and
 * completion status.
 */
export function matchesRest(filter: TaskFilter, task: Task): boolean {
  const { completionStatuses, completionStatusIsNull } = filter;
  const status = task.completionStatus;
  if (!isWithin(filter.created, task.created)) return false;
  if (completionStatusIsNull !== undefined && completionStatusIsNull !== (status === null))
    return false;
  return (
    completionStatuses === undefined || (status !== null && completionStatuses.includes(status))
  );
}

/** Whether a creation date is in the range. Every date is where there is no range. */
export function isWithin(range: CreatedRange | undefined, created: Instant): boolean {
  const { gte = -Infinity, lt = Infinity } = range ?? {};
  return gte <= created && created < lt;
}
