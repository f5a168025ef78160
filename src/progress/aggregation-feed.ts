import type { Clock } from '../clock.ts';
import type { GroupListener, Lease, WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { AggregationReading } from '../task/account-aggregation.ts';
import {
  type AggregationMessage,
  type AggregationSource,
  createAggregationPoller,
} from './aggregation-poller.ts';
import type { PollTracing } from './poller.ts';
import { createWatchedIds } from './watched-ids.ts';

/** The account aggregations that subscribers of this instance select, by the ids of their tasks. */
export interface AggregationFeed {
  /** The aggregation is polled until `unwatch` was called as often. */
  watch(taskId: string): void;
  unwatch(taskId: string): void;
  close(): void;
}

export interface AggregationFeedParts extends PollTracing {
  source: AggregationSource;
  /** Joins the group of gateway instances that poll aggregations with the same credential. */
  openGroup(listener: GroupListener<AggregationMessage>): WatchGroup<AggregationMessage>;
  clock: Clock;
  log: Log;
  intervalMs: number;
  /** An instance of the group has read an aggregation. It may be the same as the last time. */
  onReading(taskId: string, reading: AggregationReading): void;
}

/**
 * A feed that does nothing until an aggregation is watched. The instances of a group share their
 * polls, as they share those of tasks. The group is one of its own, so that instances and
 * subscribers which need no aggregations receive none.
 */
export function createAggregationFeed(parts: AggregationFeedParts): AggregationFeed {
  const { onReading } = parts;
  let group: WatchGroup<AggregationMessage> | null = null;
  let lease: Lease | null = null;
  /** Ids whose subscription the group has not received yet. */
  let unannounced: string[] = [];

  const poller = createAggregationPoller({
    ...parts,
    lease: () => lease,
    watchedIds: async () => (group === null ? new Set() : group.watchedIds()),
    publish: message => group?.publish(message),
  });
  const ids = createWatchedIds({
    onFirst(id) {
      group ??= parts.openGroup({ receive, onReconnect });
      group.watch(id);
      lease ??= group.openLease('aggregations', poller.takeOver);
      announce(id);
    },
    onLast: id => group?.unwatch(id),
    onEmpty() {
      lease?.close();
      lease = null;
    },
  });

  return {
    watch: ids.add,
    unwatch: ids.remove,
    close() {
      poller.close();
      group?.close();
      group = null;
    },
  };

  /** Asks for the current state after the group is joined, so that the answer is received. */
  function announce(id: string): void {
    unannounced.push(id);
    if (unannounced.length > 1) return;
    void group?.joined.then(() => {
      const announced = unannounced;
      unannounced = [];
      group?.publish({ kind: 'subscribed', taskIds: announced });
    });
  }

  function receive(message: AggregationMessage): void {
    if (message.kind === 'subscribed') poller.onSubscribed(message.taskIds);
    else onReading(message.taskId, message.reading);
  }

  /** Some messages were missed, so the current states are needed. */
  function onReconnect(): void {
    group?.publish({ kind: 'subscribed', taskIds: [...ids.all()] });
  }
}
