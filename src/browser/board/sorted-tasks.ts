import type { Sort, SortKey } from './filters.ts';
import { type TaskRow, elapsedOf, statusOf } from './task.ts';

type Value = string | number;

const VALUES: Record<SortKey, (task: TaskRow, nowMs: number) => Value> = {
  created: ({ created }) => created,
  name: ({ uniqueName }) => uniqueName.toLowerCase(),
  target: ({ target }) => target?.name?.toLowerCase() ?? '',
  launcher: ({ launcher }) => launcher?.toLowerCase() ?? '',
  status: statusOf,
  progress: ({ effectivePercentComplete }) => effectivePercentComplete,
  elapsed: (task, nowMs) => elapsedOf(task, nowMs) ?? -1,
};

/** The tasks in the order of the list. Equal ones are ordered by creation, the newest first. */
export function sortTasks(tasks: readonly TaskRow[], { by, isDescending }: Sort): TaskRow[] {
  const nowMs = performance.now();
  const keyed = tasks.map(task => ({ task, value: VALUES[by](task, nowMs) }));
  const sign = isDescending ? -1 : 1;
  keyed.sort(
    (a, b) =>
      sign * compare(a.value, b.value) ||
      compare(b.task.created, a.task.created) ||
      compare(a.task.id, b.task.id),
  );
  return keyed.map(({ task }) => task);
}

function compare(a: Value, b: Value): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
