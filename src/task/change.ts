import { isDeepStrictEqual } from 'node:util';
import { type Task, isCompleted } from './task.ts';

export type TaskChangeKind = 'SNAPSHOT' | 'ADDED' | 'UPDATED' | 'COMPLETED';

/** What happened to a task, and the whole task after it. */
export interface TaskChange {
  kind: TaskChangeKind;
  task: Task;
}

/** What a subscriber of a list is sent: a change, or word that its snapshot is complete. */
export type ListEvent = TaskChange | { kind: 'SNAPSHOT_COMPLETE'; task: null };

/** How a task changed between two reads, as a subscriber sees it; null if it did not change. */
export function changeOf(before: Task | null, now: Task): TaskChangeKind | null {
  if (before !== null && isEqual(before, now)) return null;
  if (isCompleted(now) && (before === null || !isCompleted(before))) return 'COMPLETED';
  return before === null ? 'ADDED' : 'UPDATED';
}

function isEqual(before: Task, now: Task): boolean {
  if (before === now || (before.etag !== '' && before.etag === now.etag)) return true;
  const bare = { etag: '', wireBytes: 0 };
  return isDeepStrictEqual({ ...before, ...bare }, { ...now, ...bare });
}

/** Merges two unread events of one task. An unread ADDED stays ADDED when an update follows it. */
export function joinEvents(earlier: ListEvent, later: ListEvent): ListEvent {
  const keepsKind = later.kind === 'UPDATED' && earlier.task !== null && earlier.kind !== 'UPDATED';
  return keepsKind ? { kind: earlier.kind, task: later.task } : later;
}
