import type { ErrorCode, ErrorDetails } from '../errors.ts';
import type { Instant, Task } from '../task/task.ts';

/** What instances that watch with one credential send to each other. Survives JSON. */
export type GroupMessage =
  /**
   * The sender watches these tasks, and knows them as the etag says; null: it does not know them yet.
   * A state with another etag is to be published by the next poll.
   */
  | { kind: 'subscribed'; tasks: readonly { id: string; etag: string | null }[] }
  /** Tasks were polled: those that changed, those that upstream no longer has, and those unreadable for too long. */
  | {
      kind: 'polled';
      tasks: readonly Task[];
      deletedIds: readonly string[];
      failures: readonly { id: string; error: Failure }[];
    }
  /** The head of a list was polled: the tasks that are new on it. */
  | { kind: 'listed'; list: string; tasks: readonly Task[]; asOf: Instant }
  /** A poll of a list failed, or of tasks where `list` is null. */
  | { kind: 'failed'; list: string | null; error: Failure };

/** A GatewayError as JSON carries it. */
export interface Failure {
  code: ErrorCode;
  message: string;
  details: Omit<ErrorDetails, 'cause'>;
}
