import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import { type Hub, createHub } from '../progress/hub.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import type { CallOptions, TaskStatusApi, TaskUpdate } from '../upstream/api.ts';
import { type TaskLoader, createTaskLoader } from './loader.ts';
import { createTaskSource } from './looks.ts';
import { type SliceWish, type TaskSlice, readLatest, readSlice } from './paging.ts';

/** Everything that is kept for one credential, and nothing that is not. */
export interface Session {
  tasks: TaskLoader;
  list(wish: SliceWish, options: CallOptions): Promise<TaskSlice>;
  /** The newest task that matches; null where none does. */
  latest(filter: TaskFilter, options: CallOptions): Promise<Task | null>;
  update(id: string, update: TaskUpdate, options: CallOptions): Promise<Task>;
  progress: Hub;
  close(): void;
}

export interface SessionParts {
  api: TaskStatusApi;
  clock: Clock;
  log: Log;
  /** Milliseconds between two looks at what is watched. */
  intervalMs: number;
}

export function createSession({ api, clock, log, intervalMs }: SessionParts): Session {
  const tasks = createTaskLoader(api);
  const progress = createHub({ source: createTaskSource(api, tasks), clock, log, intervalMs });
  return {
    tasks,
    progress,
    list: (wish, options) => readSlice(api, wish, options),
    latest: (filter, options) => readLatest(api, filter, options),
    update: (id, update, options) => api.update(id, update, options),
    close: progress.close,
  };
}
