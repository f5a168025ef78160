import type { Clock } from '../clock.ts';
import { type AccountAggregation, isFinalAggregation } from '../task/account-aggregation.ts';
import { type Task, isAggregationGone } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import { JoiningUsages, type OperationUsage } from '../usage.ts';
import type { ReadOptions } from './loader.ts';
import type { Memory } from './memory.ts';
import { SharedRequest } from './shared-request.ts';

/**
 * Account aggregations of one credential: a request for each, which all callers share who want it
 * at the same time.
 */
export interface Aggregations {
  /** The progress of the account aggregation that this task is; null where upstream has none. */
  load(task: Task, options?: ReadOptions): Promise<AccountAggregation | null>;
  /** What `load` would give from memory; undefined if it would ask upstream. */
  known(taskId: string, options?: ReadOptions): AccountAggregation | null | undefined;
  /** Polls the aggregation of a task; null where upstream has none. */
  poll(
    taskId: string,
    signal: AbortSignal,
    usage: OperationUsage,
  ): Promise<AccountAggregation | null>;
  /** Call after a write: later calls do not join a request that was sent before it. */
  invalidate(taskId: string): void;
}

export interface AggregationsParts {
  api: Pick<TaskStatusApi, 'aggregation'>;
  memory: Memory;
  clock: Clock;
}

/** A request that has not been answered. */
interface Pending {
  request: SharedRequest<AccountAggregation | null>;
  /** Those who join it. */
  joining: JoiningUsages;
}

export function createAggregations({ api, memory, clock }: AggregationsParts): Aggregations {
  const pending = new Map<string, Pending>();

  return {
    async load(task, { signal, isFresh = false, caller, usages = [] } = {}) {
      signal?.throwIfAborted();
      for (const usage of usages) usage.markUnique();
      const kept = isFresh ? undefined : memory.aggregation(task.id);
      if (kept !== undefined) return kept;
      const underWay = isFresh ? undefined : pending.get(task.id);
      if (underWay === undefined || underWay.request.isAbandoned)
        return start(task, { caller, usages }).request.join(signal);
      underWay.joining.join(usages, clock.monotonic());
      return underWay.request.join(signal);
    },
    known(taskId, { isFresh = false, usages = [] } = {}) {
      for (const usage of usages) usage.markUnique();
      return isFresh ? undefined : memory.aggregation(taskId);
    },
    async poll(taskId, signal, usage) {
      const requestedAt = clock.monotonic();
      const aggregation = await api.aggregation(taskId, {
        lane: 'aggregation-poll',
        signal,
        usages: [usage],
      });
      keep(taskId, aggregation, requestedAt, false);
      return aggregation;
    },
    invalidate: taskId => void pending.delete(taskId),
  };

  /** Others who join it wait for the turn of the caller who was first. */
  function start(
    task: Task,
    { caller, usages = [] }: Pick<ReadOptions, 'caller' | 'usages'>,
  ): Pending {
    const joining = new JoiningUsages(usages);
    const request = new SharedRequest(async signal => {
      const requestedAt = clock.monotonic();
      try {
        const aggregation = await api.aggregation(task.id, {
          signal,
          caller,
          usages: [...usages, joining],
        });
        keep(task.id, aggregation, requestedAt, isAggregationGone(task, clock.now()));
        return aggregation;
      } finally {
        if (pending.get(task.id) === started) pending.delete(task.id);
      }
    });
    const started = { request, joining };
    pending.set(task.id, started);
    return started;
  }

  function keep(
    taskId: string,
    aggregation: AccountAggregation | null,
    requestedAt: number,
    isGone: boolean,
  ): void {
    const isFinal = aggregation === null ? isGone : isFinalAggregation(aggregation);
    memory.keepAggregation(taskId, aggregation, requestedAt, isFinal);
  }
}
