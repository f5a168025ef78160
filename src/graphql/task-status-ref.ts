import type { Task } from '../task/task.ts';
import { builder } from './builder.ts';

/** TaskStatus by name: its target has a source, which has tasks again, and files cannot go in a circle. */
export const TaskStatus = builder.objectRef<Task>('TaskStatus');
