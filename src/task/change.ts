import { isDeepStrictEqual } from 'node:util';
import { type TaskFilter, matchesRest } from './filter.ts';
import { type Task, isCompleted } from './task.ts';

export type TaskChangeKind = 'SNAPSHOT' | 'ADDED' | 'UPDATED' | 'COMPLETED';

/** What happened to a task, and the whole task after it. */
export interface TaskChange {
  kind: TaskChangeKind;
  task: Task;
  /**
   * Nothing but the account aggregation was read, and for the first time. That is no change for a
   * stream which has not sent the task.
   */
  isFirstReading?: true;
}

/** What a subscriber of a list is sent: a change, or word that its snapshot is complete. */
export type ListEvent = TaskChange | { kind: 'SNAPSHOT_COMPLETE'; task: null };

/** How a task changed between two reads, as a subscriber sees it; null if it did not change. */
export function changeOf(before: Task | null, now: Task): TaskChangeKind | null {
  if (before !== null && isEqual(before, now)) return null;
  if (isCompleted(now) && (before === null || !isCompleted(before))) return 'COMPLETED';
  return before === null ? 'ADDED' : 'UPDATED';
}

/**
 * As `changeOf`, as a subscriber with a filter sees it. The filter may begin or stop matching when
 * the task ends.
 */
export function changeFor(
  filter: TaskFilter,
  before: Task | null,
  now: Task,
): TaskChangeKind | null {
  const kind = changeOf(before, now);
  if (kind === null) return null;
  // A task not known before had no completion status when it was created.
  const matchedBefore =
    before === null ? filter.completionStatusIsNull === true : matchesRest(filter, before);
  if (!matchesRest(filter, now)) return matchedBefore && kind === 'COMPLETED' ? kind : null;
  if (kind === 'COMPLETED') return kind;
  return before === null || !matchedBefore ? 'ADDED' : kind;
}

function isEqual(before: Task, now: Task): boolean {
  if (before === now || (before.etag !== '' && before.etag === now.etag)) return true;
  const bare = { etag: '', wireBytes: 0 };
  return isDeepStrictEqual({ ...before, ...bare }, { ...now, ...bare });
}

/** Merges two unread events of one task. An unread ADDED stays ADDED when an update follows it. */
export function joinEvents(earlier: ListEvent, later: ListEvent): ListEvent {
  if (earlier.task === null || later.task === null) return later;
  const keepsKind = later.kind === 'UPDATED' && earlier.kind !== 'UPDATED';
  const addsReading = later.isFirstReading && !earlier.isFirstReading;
  return keepsKind || addsReading ? { kind: earlier.kind, task: later.task } : later;
}
