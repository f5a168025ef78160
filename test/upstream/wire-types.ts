import type { TaskStatusBeta, TaskStatusV2024 } from 'sailpoint-api-client';
import type { Task } from '../../src/task/task.ts';

// Read by the compiler alone: a task has every field that the vendor's types let upstream send.
type Unread = Exclude<keyof TaskStatusBeta | keyof TaskStatusV2024, keyof Task>;
export const everyFieldIsRead: [Unread] extends [never] ? true : Unread = true;
