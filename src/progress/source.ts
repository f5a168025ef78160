import type { GatewayError } from '../errors.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { Task } from '../task/task.ts';

/** Where watches get tasks from. A row that cannot be read is an error in its place. */
export interface TaskSource {
  /** A task somebody waits for; null where there is none. */
  load(id: string): Promise<Task | null>;
  /** The tasks of these ids, as far as a look finds them. */
  read(ids: readonly string[]): Promise<Map<string, Task | GatewayError>>;
  /** The task, asked for by itself: what a list left out may be there all the same. */
  confirm(id: string): Promise<Task | GatewayError | null>;
  /** Every running task that the lasting part of a filter leaves. */
  running(filter: TaskFilter): Promise<(Task | GatewayError)[]>;
  /** Those of them that lists do not hold: none, but for versions of the API that list only what has ended. */
  unlisted(filter: TaskFilter): Promise<(Task | GatewayError)[]>;
  /** A page of a list, newest first. */
  newest(
    filter: TaskFilter,
    offset: number,
  ): Promise<{ tasks: (Task | GatewayError)[]; isLast: boolean }>;
  /** The part of the request budget that is spent, 0–1. */
  pressure(): number;
}
