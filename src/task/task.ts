import { type AggregationReading, aggregationPercentOf } from './account-aggregation.ts';

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

/** An upstream enum value. UNKNOWN stands for a value that upstream has added since. */
export type Open<T extends readonly string[]> = T[number] | 'UNKNOWN';

export type TaskType = Open<typeof TASK_TYPES>;
export type CompletionStatus = Open<typeof COMPLETION_STATUSES>;
export type TargetType = Open<typeof TARGET_TYPES>;
export type MessageType = Open<typeof MESSAGE_TYPES>;
export type TaskState = 'PENDING' | 'RUNNING' | 'COMPLETED';

/** A task of the tenant at the time it was read. Plain data: it survives JSON unchanged. */
export interface Task {
  id: string;
  type: TaskType;
  /** The type exactly as upstream sent it; empty if upstream sent none. */
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
  /** The highest percentage that the stream has sent before; 0 if none. Set by `keepProgress`. */
  percentFloor: number;
  taskDefinitionSummary: TaskDefinition | null;
  /** The progress of the account aggregation that the task is, as far as a stream knows it. */
  aggregation?: AggregationReading | undefined;
  /**
   * A hash of the row's bytes: rows with the same etag are equal. Empty if the bytes are not known.
   */
  etag: string;
  /** Size of the row in bytes; 0 if not known. */
  wireBytes: number;
}

/** What the task runs against: a source, or an identity. */
export interface Target {
  id: string | null;
  type: TargetType | null;
  rawType: string | null;
  name: string | null;
}

/** A message that the task wrote. `key` often is the sentence itself. */
export interface TaskMessage {
  type: MessageType;
  key: string;
  localizedText: LocalizedText | null;
  parameters: unknown;
}

/** A text with its language, if upstream sends one. */
export interface LocalizedText {
  locale: string | null;
  message: string;
}

/** A result of the task: its label, and its key in the task's attributes. */
export interface TaskReturn {
  name: string;
  attributeName: string;
}

/** The definition from which a task was created. */
export interface TaskDefinition {
  id: string;
  uniqueName: string;
  description: string | null;
  parentName: string | null;
  executor: string | null;
  arguments: Record<string, unknown>;
}

/**
 * COMPLETED once `completionStatus` is set. The `completed` date is not enough: upstream sets it a
 * moment before the status, and for some tasks never.
 */
export function stateOf(task: Task): TaskState {
  if (task.completionStatus !== null) return 'COMPLETED';
  return task.launched === null && task.completed === null ? 'PENDING' : 'RUNNING';
}

/** Whether the task is COMPLETED. */
export function isCompleted(task: Task): boolean {
  return task.completionStatus !== null;
}

/** Whether either the end date or the status says that the task has ended. */
export function hasEnded({ completed, completionStatus }: Task): boolean {
  return completed !== null || completionStatus !== null;
}

/**
 * The percentage to show, 0–100. It is 100 once `completed` or the status is set, because upstream
 * resets `percentComplete` of many tasks to 0 at their end. Before that it is the greatest that is
 * known: upstream leaves account aggregations at 0 until their end, but knows how many accounts it
 * has processed.
 */
export function effectivePercentCompleteOf(task: Task): number {
  if (hasEnded(task)) return 100;
  const { aggregation: reading, percentComplete, percentFloor } = task;
  const aggregation = reading && 'aggregation' in reading ? reading.aggregation : null;
  const processed = aggregation === null ? null : aggregationPercentOf(aggregation);
  return Math.max(percentComplete, percentFloor, processed ?? 0);
}

const ACCOUNT_AGGREGATION = 'accountaggregation';

/**
 * Whether the task aggregates accounts. The service method of its definition decides; without one,
 * its names do. Clients of the API tell the kinds of tasks apart in the same way.
 */
export function isAccountAggregation({
  uniqueName,
  rawType,
  taskDefinitionSummary,
}: Task): boolean {
  const method = taskDefinitionSummary?.arguments['serviceMethod'];
  if (typeof method === 'string' && method.trim() !== '')
    return foldName(method).startsWith(ACCOUNT_AGGREGATION);
  const { uniqueName: definition = '', parentName: parent = '' } = taskDefinitionSummary ?? {};
  return [uniqueName, rawType, definition, parent ?? ''].some(name =>
    foldName(name).includes(ACCOUNT_AGGREGATION),
  );
}

function foldName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z]/g, '');
}

// Upstream answers for an hour after the end. Its clock and ours may differ by some minutes.
const AGGREGATION_KEPT_MS = 65 * 60_000;

/** Whether the task ended so long ago that upstream has no account aggregation of it any more. */
export function isAggregationGone({ completed }: Task, now: Instant): boolean {
  return completed !== null && now - completed > AGGREGATION_KEPT_MS;
}

/**
 * The task as a stream sends it after `before`. Upstream's percentage may fall; the stream's must
 * not.
 */
export function keepProgress(before: Task | null, now: Task): Task {
  const percentFloor = before === null ? 0 : effectivePercentCompleteOf(before);
  return percentFloor > effectivePercentCompleteOf(now) ? { ...now, percentFloor } : now;
}

/**
 * Seconds from launch to the end, or to `now` while the task runs. Null before launch, or if the
 * end is not known. Calls `now` only if the result depends on it.
 */
export function elapsedSecondsOf(task: Task, now: () => Instant): number | null {
  const { launched, completed, modified } = task;
  if (launched === null) return null;
  // A task may have a status but no end date. Its record was last modified at its end or later.
  const end = completed ?? (hasEnded(task) ? modified : now());
  if (end === null) return null;
  // The tenant's clock may be ahead of ours. The result must not be negative.
  return Math.max(0, end - launched) / 1000;
}

/**
 * Extrapolates when the task ends from its percentage. Null unless the task runs and its percentage
 * is 1–99. Calls `now` only if the result depends on it.
 */
export function estimatedCompletionOf(task: Task, now: () => Instant): Instant | null {
  const { launched } = task;
  const percent = effectivePercentCompleteOf(task);
  if (launched === null || percent <= 0 || percent >= 100) return null;
  return Math.round(launched + (Math.max(0, now() - launched) * 100) / percent);
}
