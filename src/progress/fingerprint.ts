import { createHash } from 'node:crypto';
import type { Task } from '../task/task.ts';

/** Equal for equal states of a task, in whichever instance; 24 characters. */
export function fingerprintOf(task: Task): string {
  return createHash('sha1').update(JSON.stringify(task)).digest('base64url').slice(0, 24);
}
