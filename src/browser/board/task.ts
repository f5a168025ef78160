export type TaskState = 'PENDING' | 'RUNNING' | 'COMPLETED';

/** A task as a row of the board shows it. */
export interface TaskRow {
  id: string;
  uniqueName: string;
  launcher: string | null;
  target: { id: string | null; type: string | null; name: string | null } | null;
  created: string;
  launched: string | null;
  completed: string | null;
  completionStatus: string | null;
  rawCompletionStatus: string | null;
  state: TaskState;
  effectivePercentComplete: number;
  elapsedSeconds: number | null;
  estimatedCompletion: string | null;
  progress: string | null;
  /** Milliseconds since the page's start at which the board received this. Set by the board. */
  receivedAt: number;
}

/** A task as the detail pane shows it. */
export interface TaskDetail extends TaskRow {
  description: string | null;
  modified: string | null;
  messages: {
    type: string;
    key: string;
    localizedText: { message: string } | null;
  }[];
  returns: { name: string; attributeName: string }[];
  attributes: unknown;
  taskDefinitionSummary: {
    id: string;
    uniqueName: string;
    description: string | null;
    parentName: string | null;
    executor: string | null;
    arguments: unknown;
  } | null;
  accountAggregation: {
    rawStatus: string;
    totalAccounts: number | null;
    processedAccounts: number | null;
    totalIdentities: number | null;
    processedIdentities: number | null;
    percentComplete: number | null;
  } | null;
}

export interface TaskChange {
  kind: 'SNAPSHOT' | 'SNAPSHOT_COMPLETE' | 'ADDED' | 'UPDATED' | 'COMPLETED' | 'UNKNOWN';
  taskStatus: TaskRow | null;
}

export interface TaskCounts {
  total: number | null;
  running: number | null;
  success: number | null;
  warning: number | null;
  error: number | null;
  terminated: number | null;
  tempError: number | null;
}

/**
 * What the status column and the status filter call a task: its state until it ends, then its
 * outcome.
 */
export function statusOf({ state, completionStatus, rawCompletionStatus }: TaskRow): string {
  if (state !== 'COMPLETED') return state;
  if (completionStatus === 'UNKNOWN') return rawCompletionStatus ?? 'UNKNOWN';
  return completionStatus ?? 'COMPLETED';
}

const COUNT_OF: Record<string, keyof TaskCounts> = {
  SUCCESS: 'success',
  WARNING: 'warning',
  ERROR: 'error',
  TERMINATED: 'terminated',
  TEMPERROR: 'tempError',
};

/** How many tasks there are of a status of the filter, empty for all; null if that is not known. */
export function countOf(counts: TaskCounts | null, status: string): number | null {
  const count = status === '' ? 'total' : status === 'RUNNING' ? 'running' : COUNT_OF[status];
  return counts === null || count === undefined ? null : counts[count];
}

/** Counts tasks as upstream does: running is what has no completion status. */
export function countsOf(tasks: Iterable<TaskRow>): TaskCounts {
  const counts = {
    total: 0,
    running: 0,
    success: 0,
    warning: 0,
    error: 0,
    terminated: 0,
    tempError: 0,
  };
  for (const { completionStatus } of tasks) {
    counts.total += 1;
    const count = completionStatus === null ? 'running' : COUNT_OF[completionStatus];
    if (count !== undefined) counts[count] += 1;
  }
  return counts;
}

/** Seconds since the launch, or of the whole run; goes on between two updates. */
export function elapsedOf(task: TaskRow, nowMs: number): number | null {
  if (task.elapsedSeconds === null) return null;
  if (task.state !== 'RUNNING') return task.elapsedSeconds;
  // Measured from the receipt, so that a wrong clock of this computer does not matter.
  return task.elapsedSeconds + Math.max(0, nowMs - task.receivedAt) / 1_000;
}
