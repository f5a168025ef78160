/** A moment, in milliseconds since the epoch. */
export type Instant = number;

export const TASK_TYPES = ['QUARTZ', 'QPOC', 'QUEUED_TASK'] as const;
export const COMPLETION_STATUSES = [
  'SUCCESS',
  'WARNING',
  'ERROR',
  'TERMINATED',
  'TEMPERROR',
] as const;
export const TARGET_TYPES = ['APPLICATION', 'IDENTITY'] as const;
export const MESSAGE_TYPES = ['INFO', 'WARN', 'ERROR'] as const;

/** A value of upstream's: one that we know, or UNKNOWN for one added since. */
export type Open<T extends readonly string[]> = T[number] | 'UNKNOWN';

export type TaskType = Open<typeof TASK_TYPES>;
export type CompletionStatus = Open<typeof COMPLETION_STATUSES>;
export type TargetType = Open<typeof TARGET_TYPES>;
export type MessageType = Open<typeof MESSAGE_TYPES>;
export type TaskState = 'PENDING' | 'RUNNING' | 'COMPLETED';

/** One task of the tenant as it stood when it was read. Plain data: it survives JSON unchanged. */
export interface Task {
  id: string;
  type: TaskType;
  /** The type in upstream's word; empty where there is none. */
  rawType: string;
  uniqueName: string;
  description: string | null;
  parentName: string | null;
  launcher: string | null;
  target: Target | null;
  created: Instant;
  modified: Instant | null;
  launched: Instant | null;
  completed: Instant | null;
  completionStatus: CompletionStatus | null;
  rawCompletionStatus: string | null;
  messages: TaskMessage[];
  returns: TaskReturn[];
  attributes: Record<string, unknown>;
  progress: string | null;
  percentComplete: number;
  /** The greatest percentage that the stream has shown before; 0 where there was none. Set by `keepProgress`. */
  percentFloor: number;
  taskDefinitionSummary: TaskDefinition | null;
  /** Equal for rows of equal bytes, which say the same; empty where the bytes are not known. */
  etag: string;
  /** How many bytes the row had; 0 where that is not known. */
  wireBytes: number;
}

/** What the task runs against: a source, or an identity. */
export interface Target {
  id: string | null;
  type: TargetType | null;
  rawType: string | null;
  name: string | null;
}

/** Something a task said; `key` often is the sentence itself. */
export interface TaskMessage {
  type: MessageType;
  key: string;
  localizedText: LocalizedText | null;
  parameters: unknown;
}

/** A text, and its language where upstream says it. */
export interface LocalizedText {
  locale: string | null;
  message: string;
}

/** The label of a result, and the key it has in the task's attributes. */
export interface TaskReturn {
  name: string;
  attributeName: string;
}

/** The definition a task was made from. */
export interface TaskDefinition {
  id: string;
  uniqueName: string;
  description: string | null;
  parentName: string | null;
  executor: string | null;
  arguments: Record<string, unknown>;
}

/**
 * COMPLETED once `completionStatus` is set. Upstream writes `completed` a moment before the status, and
 * for some tasks never: neither ends a task too early, nor keeps it from ending.
 */
export function stateOf(task: Task): TaskState {
  if (task.completionStatus !== null) return 'COMPLETED';
  return task.launched === null && task.completed === null ? 'PENDING' : 'RUNNING';
}

/** Whether the task is COMPLETED. */
export function isCompleted(task: Task): boolean {
  return task.completionStatus !== null;
}

/** Whether the task has stopped, as far as either its date or its status says. */
function hasEnded({ completed, completionStatus }: Task): boolean {
  return completed !== null || completionStatus !== null;
}

/**
 * 0–100, and 100 as soon as either `completed` or the status is set: upstream resets `percentComplete`
 * of many tasks to 0 at their end, and the status follows only after that.
 */
export function effectivePercentCompleteOf(task: Task): number {
  return hasEnded(task) ? 100 : Math.max(task.percentComplete, task.percentFloor);
}

/** The task as a stream shows it after `before`: upstream may report less than it did, a stream does not. */
export function keepProgress(before: Task | null, now: Task): Task {
  const percentFloor = before === null ? 0 : effectivePercentCompleteOf(before);
  return percentFloor > effectivePercentCompleteOf(now) ? { ...now, percentFloor } : now;
}

/** Seconds from launch to the end, or to `now` while it runs; null before launch, and where the end is not known. */
export function elapsedSecondsOf(task: Task, now: Instant): number | null {
  const { launched, completed, modified } = task;
  if (launched === null) return null;
  // A task may have a status and no date of its end. Its record was last written at the end, or later.
  const end = completed ?? (hasEnded(task) ? modified : now);
  if (end === null) return null;
  // The tenant's clock may be ahead of ours: a task cannot have run for less than no time.
  return Math.max(0, end - launched) / 1000;
}

/** The end, if the rest goes as fast as what is done; null unless the task runs and its percentage is from 1 to 99. */
export function estimatedCompletionOf(task: Task, now: Instant): Instant | null {
  const { launched } = task;
  const percent = effectivePercentCompleteOf(task);
  if (launched === null || percent <= 0 || percent >= 100) return null;
  return Math.round(launched + (Math.max(0, now - launched) * 100) / percent);
}
