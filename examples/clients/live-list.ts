/** An event of `taskStatusChanged`, with the fields that a client selects of the task. */
export interface Change<Task> {
  kind: 'SNAPSHOT' | 'SNAPSHOT_COMPLETE' | 'ADDED' | 'UPDATED' | 'COMPLETED';
  taskStatus: Task | null;
}

/** Where an application keeps the running tasks that it shows: a cache, a store, a Map. */
export interface LiveList<Task> {
  ids(): Iterable<string>;
  /** Shows these tasks and no others. */
  replace(tasks: Task[]): void;
  /** Shows a task, or its new state if it is shown already. */
  put(task: Task): void;
  /**
   * Stops showing a task. `ended` is its last state, or null if it was deleted or is unreadable.
   */
  remove(id: string, ended: Task | null): void;
}

// After these, the same subscription would fail again.
const FINAL_CODES = new Set<unknown>([
  'BAD_USER_INPUT',
  'FORBIDDEN',
  'NOT_FOUND',
  'PERSISTED_QUERY_NOT_FOUND',
  'PERSISTED_QUERY_NOT_SUPPORTED',
  'UNAUTHENTICATED',
]);

/**
 * Applies the events of one stream of running tasks to a list. Create one for each connection: what
 * the stream of an earlier connection sent does not say that a task still runs.
 */
export function createListUpdate<Task extends { id: string }>(
  list: LiveList<Task>,
  readTask: (id: string) => Promise<Task | null>,
): (change: Change<Task>) => Promise<void> {
  const sent = new Map<string, Change<Task> & { taskStatus: Task }>();
  let isSnapshotComplete = false;

  return async ({ kind, taskStatus }) => {
    if (taskStatus && !isSnapshotComplete) sent.set(taskStatus.id, { kind, taskStatus });
    else if (taskStatus) apply(kind, taskStatus);
    else {
      // These ended or were deleted while the client was disconnected. If reading one fails, the
      // list stays as it is, and the next connection tries again.
      const missing = [...list.ids()].filter(id => !sent.has(id));
      const ended = await Promise.all(missing.map(async id => [id, await readTask(id)] as const));
      for (const [id, task] of ended) list.remove(id, task);
      const changes = [...sent.values()];
      for (const change of changes)
        if (change.kind === 'COMPLETED') apply(change.kind, change.taskStatus);
      list.replace(
        changes.filter(({ kind }) => kind !== 'COMPLETED').map(({ taskStatus }) => taskStatus),
      );
      sent.clear();
      isSnapshotComplete = true;
    }
  };

  function apply(kind: Change<Task>['kind'], task: Task) {
    if (kind === 'COMPLETED') list.remove(task.id, task);
    else list.put(task);
  }
}

/** Whether to subscribe again after an error with this code. A lost connection has none. */
export function isTransient(code: unknown): boolean {
  return !FINAL_CODES.has(code);
}

/**
 * Milliseconds to wait before the given attempt to connect again, counted from 1. At random, so
 * that not all clients return at once after a restart.
 */
export function retryDelayMs(attempt: number): number {
  return Math.min(30_000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2);
}
