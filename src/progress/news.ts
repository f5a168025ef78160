import type { ErrorCode, ErrorDetails } from '../errors.ts';
import type { Task } from '../task/task.ts';

/** What instances that watch with one credential tell each other. */
export type News =
  /** Somebody begins to watch these: what was told of them before is to be told again. */
  | { kind: 'wanted'; ids: readonly string[] }
  /** A look at tasks was had: those that changed since they were last told of, those that are gone, and those that cannot be read for too long. */
  | {
      kind: 'looked';
      tasks: readonly Task[];
      goneIds: readonly string[];
      failures: readonly { id: string; error: Failure }[];
    }
  /** A look at a list was had: the tasks that are new on it. */
  | { kind: 'listed'; list: string; tasks: readonly Task[] }
  /** A look at a list failed, or at tasks where `list` is null. */
  | { kind: 'failed'; list: string | null; error: Failure };

/** A GatewayError as JSON carries it. */
export interface Failure {
  code: ErrorCode;
  message: string;
  details: Omit<ErrorDetails, 'cause'>;
}
