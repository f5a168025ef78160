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
  localizedText: { locale: string; message: string } | null;
  parameters: unknown;
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

/** COMPLETED only when both are set: upstream writes `completed` a moment before the status. */
export function stateOf(task: Task): TaskState {
  if (task.completed !== null && task.completionStatus !== null) return 'COMPLETED';
  return task.launched === null ? 'PENDING' : 'RUNNING';
}

export function isCompleted(task: Task): boolean {
  return stateOf(task) === 'COMPLETED';
}

/** Upstream leaves many finished tasks at 0 %; a finished task is at 100 here. */
export function effectivePercentCompleteOf(task: Task): number {
  return isCompleted(task) ? 100 : task.percentComplete;
}

/** Seconds from launch to the end, or to `now` while there is none; null before launch. */
export function elapsedSecondsOf(task: Task, now: Instant): number | null {
  if (task.launched === null) return null;
  const end = isCompleted(task) && task.completed !== null ? task.completed : now;
  // The tenant's clock may be ahead of ours: a task cannot have run for less than no time.
  return Math.max(0, end - task.launched) / 1000;
}

/** The end, if the rest goes as fast as what is done; null where the percentage says nothing. */
export function estimatedCompletionOf(task: Task, now: Instant): Instant | null {
  const { launched, percentComplete } = task;
  if (launched === null || stateOf(task) !== 'RUNNING') return null;
  if (percentComplete <= 0 || percentComplete >= 100) return null;
  return Math.round(launched + (Math.max(0, now - launched) * 100) / percentComplete);
}
