import type { Task } from '../task/task.ts';
import { builder } from './builder.ts';

/**
 * A reference to TaskStatus, in a file of its own to break an import cycle: its target has a
 * source, and a source has tasks.
 */
export const TaskStatus = builder.objectRef<Task>('TaskStatus');
