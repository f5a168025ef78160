import { isDeepStrictEqual } from 'node:util';
import { type Task, isCompleted } from './task.ts';

export type TaskChangeKind = 'SNAPSHOT' | 'ADDED' | 'UPDATED' | 'COMPLETED';

/** What became of a task, and the whole task as it is then. */
export interface TaskChange {
  kind: TaskChangeKind;
  task: Task;
}

/** What changed for a caller between two reads of a task; null where nothing did. */
export function changeOf(before: Task | null, now: Task): TaskChangeKind | null {
  if (before !== null && saysTheSame(before, now)) return null;
  if (isCompleted(now) && (before === null || !isCompleted(before))) return 'COMPLETED';
  return before === null ? 'ADDED' : 'UPDATED';
}

function saysTheSame(before: Task, now: Task): boolean {
  if (before === now || (before.etag !== '' && before.etag === now.etag)) return true;
  const bare = { etag: '', wireBytes: 0 };
  return isDeepStrictEqual({ ...before, ...bare }, { ...now, ...bare });
}

/** Two changes of a task, neither read yet, as the one that tells a reader as much. */
export function joinChanges(earlier: TaskChange, later: TaskChange): TaskChange {
  const isNews = later.kind === 'UPDATED' && earlier.kind !== 'UPDATED';
  return isNews ? { kind: earlier.kind, task: later.task } : later;
}
