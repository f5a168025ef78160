import type { Clock } from '../clock.ts';
import type { GroupListener, WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import { createAggregationFeed } from '../progress/aggregation-feed.ts';
import type { AggregationMessage } from '../progress/aggregation-poller.ts';
import { type Hub, type HubObserver, type HubParts, createHub } from '../progress/hub.ts';
import type { GroupMessage } from '../progress/group-message.ts';
import type { PollTracing } from '../progress/poller.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { TaskUpdate } from '../upstream/endpoints.ts';
import { type AggregatedStreams, createAggregatedStreams } from './aggregated-streams.ts';
import { type Aggregations, createAggregations } from './aggregations.ts';
import { createBoundSearch } from './bound-search.ts';
import { createJoinedCounts } from './joined-counts.ts';
import { createLists } from './lists.ts';
import { type ReadOptions, type TaskLoader, createTaskLoader } from './loader.ts';
import { createSourcePages } from './source-pages.ts';
import { createTaskSource } from './task-source.ts';
import type { Memory } from './memory.ts';
import { type SliceRequest, type TaskSlice, readLatest, readSlice } from './paging.ts';
import { countTasks } from './task-count.ts';

/** All state of one credential. Sessions share nothing with each other. */
export interface Session {
  tasks: TaskLoader;
  aggregations: Aggregations;
  list(request: SliceRequest, options: ReadOptions): Promise<TaskSlice>;
  /** How many tasks match; null if upstream does not count. */
  count(filter: TaskFilter, options: ReadOptions): Promise<number | null>;
  /** The newest task that matches a filter without a creation date; null if there is none. */
  latest(filter: TaskFilter, options: ReadOptions): Promise<Task | null>;
  update(id: string, update: TaskUpdate, options: ReadOptions): Promise<Task>;
  /** Responses that were sent to the credential. */
  responses: Pick<Memory, 'response' | 'keepResponse' | 'hasChangedSince'>;
  progress: Hub;
  /** Adds account aggregations to streams of `progress`. */
  aggregatedStreams: AggregatedStreams;
  close(): void;
}

export interface SessionParts extends PollTracing {
  api: TaskStatusApi;
  memory: Memory;
  clock: Clock;
  log: Log;
  /** Joins the instances that watch with this credential. */
  openGroup(listener: GroupListener<GroupMessage>): WatchGroup<GroupMessage>;
  /** Joins the instances that poll account aggregations with this credential. */
  openAggregationGroup(listener: GroupListener<AggregationMessage>): WatchGroup<AggregationMessage>;
  /** Milliseconds between two polls of the watched tasks and lists. */
  intervalMs: number;
  /** The maximum number of concurrent subscriptions. */
  maxSubscribers: number;
  /** Called for each batch of reads by id, with the number of its tasks. */
  onBatch?: ((tasks: number) => void) | undefined;
  /** Notes polls and deliveries, for metrics. */
  observer?: HubObserver | undefined;
}

/** Builds the parts of a session; `close` ends its watches and clears its memory. */
export function createSession(parts: SessionParts): Session {
  const { api, memory, clock } = parts;
  const tasks = createTaskLoader(parts);
  const aggregations = createAggregations({ api, memory, clock });
  const lists = createSourcePages(createJoinedCounts(createLists({ api, memory, clock })));
  const bounds = createBoundSearch(clock);
  const source = createTaskSource({ api, tasks, memory, bounds, clock });
  const progress = createHub({ ...parts, source, openAggregations });
  const aggregatedStreams = createAggregatedStreams({ ...parts, aggregations });
  return {
    tasks,
    aggregations,
    progress,
    aggregatedStreams,
    responses: memory,
    list: (request, options) => readSlice({ lists, bounds, clock }, request, options),
    count: (filter, options) => countTasks({ lists, bounds }, filter, options),
    latest: (filter, options) => readLatest(lists, filter, options),
    async update(id, update, { signal, caller, usages }) {
      try {
        return await api.update(id, update, { signal, caller, usages });
      } finally {
        // Even after a failure, because upstream may have applied the update.
        memory.invalidate(id);
        tasks.invalidate(id);
        aggregations.invalidate(id);
        lists.invalidate();
      }
    },
    close() {
      progress.close();
      memory.close();
    },
  };

  function openAggregations(onReading: Parameters<HubParts['openAggregations']>[0]) {
    return createAggregationFeed({
      ...parts,
      source: { poll: aggregations.poll, pressure: () => api.pressure() },
      openGroup: parts.openAggregationGroup,
      onReading,
    });
  }
}
