import type { ErrorCode, ErrorDetails } from '../errors.ts';
import type { Task } from '../task/task.ts';

/** What instances that watch with one credential tell each other. */
export type News =
  /**
   * An instance begins to watch these. `known` has, in the same places, fingerprints of the states that it
   * has: only where the last published state is another one, or `known` is null, is it published again.
   */
  | { kind: 'wanted'; ids: readonly string[]; known: readonly (string | null)[] }
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
