import type { ErrorCode, ErrorDetails } from '../errors.ts';
import type { Instant, Task } from '../task/task.ts';

/**
 * A message between the gateway instances that watch tasks with the same credential. Survives JSON.
 */
export type GroupMessage =
  /**
   * The sender watches these tasks. `etag` is the state that it has sent to its subscribers, null
   * if none. The next poll publishes any other state.
   */
  | { kind: 'subscribed'; tasks: readonly { id: string; etag: string | null }[] }
  /**
   * Tasks were polled. `tasks` have changed, `deletedIds` no longer exist upstream, `failures`
   * could not be read for too long.
   */
  | {
      kind: 'polled';
      /** When upstream's answer was complete, by the clock of the instance that polled. */
      readAt: Instant;
      tasks: readonly Task[];
      deletedIds: readonly string[];
      failures: readonly { id: string; error: Failure }[];
    }
  /** The head of a list was polled. `tasks` are new on it. */
  | { kind: 'listed'; list: string; readAt: Instant; tasks: readonly Task[]; asOf: Instant }
  /** A poll of the list failed, or a poll of tasks if `list` is null. */
  | { kind: 'failed'; list: string | null; error: Failure };

/** A GatewayError in a form that survives JSON. */
export interface Failure {
  code: ErrorCode;
  message: string;
  details: Omit<ErrorDetails, 'cause'>;
}
