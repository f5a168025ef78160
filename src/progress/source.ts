import type { GatewayError } from '../errors.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { Instant, Task } from '../task/task.ts';

/** A row of upstream's: a task, or the reason why it cannot be read. */
export type TaskRow = Task | GatewayError;

/** Where watches read tasks. Reads for a caller who waits go before polls. A read ends when its signal aborts. */
export interface TaskSource {
  /** A task that a caller waits for; null where there is none. */
  load(id: string): Promise<Task | null>;
  /** Polls the tasks of these ids. An id that is missing from the answer may be there all the same: `confirm` it. */
  poll(ids: readonly string[]): Promise<Map<string, TaskRow>>;
  /** Polls one task by itself. */
  confirm(id: string): Promise<TaskRow | null>;
  /** Polls the heads of lists, together where that saves requests. Each list has a result of its own. */
  pollHeads(requests: readonly HeadRequest[]): Promise<ListHead>[];
  /** The head of one list, for a caller who waits. */
  readHead(request: HeadRequest): Promise<ListHead>;
  /** Every running task of a list, for a caller who waits. */
  running(filter: TaskFilter, signal: AbortSignal): Promise<TaskRow[]>;
  /** Everything that matches, newest first, for a caller who waits; running tasks first on versions that do not list them. */
  snapshot(filter: TaskFilter, signal: AbortSignal): AsyncIterable<TaskRow[]>;
  /** The part of the request budget that is spent, 0–1. */
  pressure(): number;
}

/** The newest tasks of a list. */
export interface HeadRequest {
  filter: TaskFilter;
  /** How far back: tasks created before this are not read. Null: a minute before the newest. */
  since: Instant | null;
  /** Aborts when nobody watches the list any more. */
  signal?: AbortSignal;
}

export interface ListHead {
  rows: TaskRow[];
  /** When upstream was read, by the slower of its clock and ours. */
  asOf: Instant;
}
