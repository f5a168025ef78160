import type { Clock } from '../clock.ts';
import type { GroupListener, WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import { type Hub, type HubObserver, createHub } from '../progress/hub.ts';
import type { GroupMessage } from '../progress/group-message.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { TaskUpdate } from '../upstream/endpoints.ts';
import { createLists } from './lists.ts';
import { type ReadOptions, type TaskLoader, createTaskLoader } from './loader.ts';
import { createSourcePages } from './source-pages.ts';
import { createTaskSource } from './task-source.ts';
import type { Memory } from './memory.ts';
import { type SliceRequest, type TaskSlice, readLatest, readSlice } from './paging.ts';

/** Everything that is kept for one credential, and nothing that is not. */
export interface Session {
  tasks: TaskLoader;
  list(request: SliceRequest, options: ReadOptions): Promise<TaskSlice>;
  /** The newest task that matches; null where none does. */
  latest(filter: TaskFilter, options: ReadOptions): Promise<Task | null>;
  update(id: string, update: TaskUpdate, options: ReadOptions): Promise<Task>;
  progress: Hub;
  close(): void;
}

export interface SessionParts {
  api: TaskStatusApi;
  memory: Memory;
  clock: Clock;
  log: Log;
  /** Joins the instances that watch with this credential. */
  openGroup(listener: GroupListener<GroupMessage>): WatchGroup<GroupMessage>;
  /** Milliseconds between two polls of what is watched. */
  intervalMs: number;
  /** Subscriptions at once. */
  maxSubscribers: number;
  /** Called for each batch of reads by id, with the number of its tasks. */
  onBatch?: ((tasks: number) => void) | undefined;
  /** Notes polls and deliveries, for metrics. */
  observer?: HubObserver | undefined;
}

export function createSession(parts: SessionParts): Session {
  const { api, memory, clock } = parts;
  const tasks = createTaskLoader(parts);
  const lists = createSourcePages(createLists({ api, memory, clock }));
  const source = createTaskSource({ api, tasks, memory, clock });
  const progress = createHub({ ...parts, source });
  return {
    tasks,
    progress,
    list: (request, options) => readSlice(lists, request, options),
    latest: (filter, options) => readLatest(lists, filter, options),
    async update(id, update, { signal, caller, usages }) {
      try {
        return await api.update(id, update, { signal, caller, usages });
      } finally {
        // Even where it failed: upstream may have done it all the same.
        memory.forget(id);
        tasks.forget(id);
        lists.forget();
      }
    },
    close() {
      progress.close();
      memory.close();
    },
  };
}
