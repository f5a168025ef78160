import type { Signal } from '../signal.ts';
import { GatewayError } from '../errors.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { Instant, Task } from '../task/task.ts';
import type { OperationUsage } from '../usage.ts';

/** A row of an upstream answer: a task, or an error if it could not be read. */
export type TaskRow = Task | GatewayError;

/** The tasks among the rows. */
export function readableOf(rows: readonly TaskRow[]): Task[] {
  return rows.filter((row): row is Task => !(row instanceof GatewayError));
}

/**
 * Reads tasks from upstream. Reads for a waiting caller go before polls. A read ends when its
 * signal aborts.
 */
export interface TaskSource {
  /** Reads a task for a waiting caller; null if it does not exist. */
  load(id: string): Promise<Task | null>;
  /** Polls these tasks. A task missing from the result may still exist: check it with `confirm`. */
  poll(ids: readonly string[], usage: OperationUsage): Promise<Map<string, TaskRow>>;
  /** Polls one task with a request of its own; null if it does not exist. */
  confirm(id: string, usage: OperationUsage): Promise<TaskRow | null>;
  /**
   * Polls the heads of lists, joined where that saves requests. Returns one promise for each list.
   */
  pollHeads(requests: readonly HeadRequest[], usage: OperationUsage): Promise<ListHead>[];
  /** Reads the head of a list before it is polled. Waits for budget instead of failing. */
  readHead(request: HeadRequest): Promise<ListHead>;
  /** Reads all running tasks of a list before it is polled. Waits for budget instead of failing. */
  running(filter: TaskFilter, signal: AbortSignal): Promise<TaskRow[]>;
  /**
   * Reads all matching tasks for a waiting caller, newest first; API versions that do not list
   * running tasks send those first.
   */
  snapshot(filter: TaskFilter, signal: AbortSignal): AsyncIterable<TaskRow[]>;
  /** The part of the request budget that is spent, 0–1. */
  pressure(): number;
}

/** The newest tasks of a list. Its filter has no creation date. */
export interface HeadRequest {
  filter: TaskFilter;
  /**
   * Tasks created before this are not read. Null: tasks up to a minute older than the newest are
   * read.
   */
  since: Instant | null;
  /** Aborts when the list is no longer watched. */
  signal?: Signal;
}

export interface ListHead {
  rows: TaskRow[];
  /** When upstream was read: the earlier of its clock and ours. */
  asOf: Instant;
}
