import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { GroupListener, Lease, WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { AggregationReading } from '../task/account-aggregation.ts';
import type { ListEvent } from '../task/change.ts';
import { type TaskFilter, watchedPartOf, matchesNothing } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import type { AggregationFeed } from './aggregation-feed.ts';
import { Cadence, LIVELY_INTERVALS } from './cadence.ts';
import { MAX_SILENCE_MS, fromFailure, toGatewayError } from './failure.ts';
import type { Failure, GroupMessage } from './group-message.ts';
import type { PollObserver, PollTracing } from './poller.ts';
import { createListPoller } from './list-poller.ts';
import { ListWatch } from './list-watch.ts';
import type { Mailbox } from './mailbox.ts';
import type { TaskSource } from './source.ts';
import { createTaskPoller } from './task-poller.ts';
import { TaskWatch } from './task-watch.ts';
import { createWatchedIds } from './watched-ids.ts';

/** The watches of one credential. All subscribers to the same task or list share one watch. */
export interface Hub {
  /**
   * Sends the current state, then each change. Ends after the event in which the task is COMPLETED.
   */
  subscribeToTask(id: string, options?: SubscribeOptions): Mailbox<Task>;
  /**
   * Sends a change for each matching task that is added, updated or completed; with `snapshot`, all
   * tasks that match now come first, then SNAPSHOT_COMPLETE. Ends once no task can be added to the
   * range of creation dates and all of it have ended.
   */
  subscribeToChanges(
    filter: TaskFilter,
    snapshot: boolean,
    options?: SubscribeOptions,
  ): Mailbox<ListEvent>;
  /** How many watches are open. A watch closes when its last subscriber leaves. */
  readonly size: number;
  readonly watching: Watching;
  close(): void;
}

export interface SubscribeOptions {
  /**
   * Polls the account aggregations of the tasks too. A change in one is an event, and events carry
   * what was read last. They carry nothing before the first poll.
   */
  withAggregation?: boolean;
}

/** How many watches and subscribers there are. */
export interface Watching {
  taskWatches: number;
  listWatches: number;
  subscribers: number;
}

/** Notes polls and deliveries, for metrics. */
export interface HubObserver extends PollObserver {
  /** A subscriber took a polled state so many milliseconds after upstream's answer was complete. */
  eventDelivered(ageMs: number): void;
}

export interface HubParts extends PollTracing {
  source: TaskSource;
  /** Opens the feed of account aggregations. It calls back for each that was read. */
  openAggregations(
    onReading: (taskId: string, reading: AggregationReading) => void,
  ): AggregationFeed;
  /** Joins the group of gateway instances that watch with the same credential. */
  openGroup(listener: GroupListener<GroupMessage>): WatchGroup<GroupMessage>;
  clock: Clock;
  log: Log;
  intervalMs: number;
  /** The most subscriptions open at one time. */
  maxSubscribers: number;
  observer?: HubObserver | undefined;
}

/**
 * Each instance publishes to its group which tasks it watches, and one instance polls them for all.
 * The results come back as group messages to every instance, including the one that polled.
 */
export function createHub(parts: HubParts): Hub {
  const { source, clock, log, intervalMs, maxSubscribers, observer } = parts;
  const taskWatches = new Map<string, TaskWatch>();
  const listWatches = new Map<string, ListWatch>();
  /**
   * When polls began to fail, on the monotonic clock, by list; the key null stands for polls of
   * tasks.
   */
  const failingSince = new Map<string | null, number>();
  /** When upstream answered with a polled state, in milliseconds since the epoch. */
  const readAt = new WeakMap<Task, number>();
  let taskLease: Lease | null = null;
  let subscribers = 0;

  const group = parts.openGroup({ receive, onReconnect });
  const taskPoller = createTaskPoller({ ...parts, group, lease: () => taskLease });
  const listPoller = createListPoller({ ...parts, group, lists: () => listWatches.values() });
  const aggregations = parts.openAggregations((id, reading) => {
    taskWatches.get(id)?.onAggregation(reading);
    for (const watch of listWatches.values()) watch.onAggregation(id, reading);
  });
  const watchedIds = createWatchedIds({
    onFirst(id) {
      group.watch(id);
      taskLease ??= group.openLease('tasks', taskPoller.takeOver);
    },
    onLast: id => group.unwatch(id),
    onEmpty() {
      taskLease?.close();
      taskLease = null;
      failingSince.delete(null);
    },
  });

  return {
    get size() {
      return taskWatches.size + listWatches.size;
    },
    get watching() {
      return { taskWatches: taskWatches.size, listWatches: listWatches.size, subscribers };
    },
    // The mailbox is subscribed before this returns, so it misses no change that is published
    // meanwhile.
    subscribeToTask(id, { withAggregation = false } = {}) {
      checkRoom();
      const watch = taskWatches.get(id) ?? openTaskWatch(id);
      return counted(watch.subscribe(withAggregation)).whenTaken(noteDelivery);
    },
    subscribeToChanges(filter, snapshot, { withAggregation = false } = {}) {
      checkRoom();
      if (matchesNothing(filter))
        throw new GatewayError(
          'BAD_USER_INPUT',
          'The filter has an empty list or range, so no task can match it.',
        );
      const key = JSON.stringify(watchedPartOf(filter));
      const watch = listWatches.get(key) ?? openListWatch(key, filter);
      const mailbox = counted(
        watch.subscribe(filter, { awaitsSnapshot: snapshot, withAggregation }),
      ).whenTaken(({ task }) => noteDelivery(task));
      if (snapshot)
        afterJoin(() => watch.initialise())
          .then(() => watch.sendSnapshot(mailbox))
          .catch((error: unknown) => mailbox.end(toGatewayError(error, log)));
      return mailbox;
    },
    close() {
      taskPoller.close();
      listPoller.close();
      failAll(new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.'));
      aggregations.close();
      group.close();
    },
  };

  function checkRoom(): void {
    if (subscribers >= maxSubscribers)
      throw new GatewayError(
        'RATE_LIMITED',
        `A credential may have at most ${maxSubscribers} concurrent subscriptions.`,
      );
  }

  function counted<T>(mailbox: Mailbox<T>): Mailbox<T> {
    subscribers++;
    return mailbox.whenClosed(uncount);
  }

  function uncount(): void {
    subscribers--;
  }

  function noteDelivery(task: Task | null): void {
    const at = task === null ? undefined : readAt.get(task);
    // The clocks of two instances may differ a little.
    if (at !== undefined) observer?.eventDelivered(Math.max(0, clock.now() - at));
  }

  function openTaskWatch(id: string): TaskWatch {
    let isWatched = false;
    const watch = new TaskWatch(id, {
      source,
      aggregations,
      clock,
      youngForMs: LIVELY_INTERVALS * intervalMs,
      onStateNeeded: () => void initialise(),
      onEmpty() {
        taskWatches.delete(id);
        if (isWatched) watchedIds.remove(id);
      },
    });
    taskWatches.set(id, watch);
    return watch;

    async function initialise(): Promise<void> {
      await afterJoin(() => watch.initialise()).catch((error: unknown) =>
        watch.refuse(toGatewayError(error, log)),
      );
      // Also after a failure: a poll for others may have sent a state to the waiting subscribers,
      // and they stay.
      if (!watch.hasSubscribers) return;
      if (!isWatched) watchedIds.add(id);
      isWatched = true;
      group.publish({ kind: 'subscribed', tasks: [{ id, etag: watch.etag }] });
    }
  }

  function openListWatch(key: string, filter: TaskFilter): ListWatch {
    const watch = new ListWatch(filter, {
      key,
      source,
      aggregations,
      cadence: new Cadence({ clock, intervalMs, pressure: () => source.pressure() }),
      openLease: () => group.openLease(`list ${key}`, () => listPoller.startIn(0)),
      watch(tasks) {
        for (const { id } of tasks) watchedIds.add(id);
        if (tasks.length > 0) group.publish({ kind: 'subscribed', tasks: tasks.map(toKnown) });
      },
      unwatch: watchedIds.remove,
      onEmpty() {
        listWatches.delete(key);
        failingSince.delete(key);
      },
    });
    listWatches.set(key, watch);
    afterJoin(() => watch.initialise()).then(
      () => listPoller.startIn(intervalMs),
      // New tasks cannot be recognised if the existing ones are not known.
      (error: unknown) => watch.fail(toGatewayError(error, log)),
    );
    return watch;
  }

  /** Reads after the group is joined, so that changes published after the read are received. */
  async function afterJoin(read: () => Promise<void>): Promise<void> {
    await group.joined;
    return read();
  }

  function receive(message: GroupMessage): void {
    if ('readAt' in message) for (const task of message.tasks) readAt.set(task, message.readAt);
    taskPoller.onMessage(message);
    switch (message.kind) {
      case 'subscribed':
        break;
      case 'polled':
        failingSince.delete(null);
        for (const task of message.tasks) {
          taskWatches.get(task.id)?.onTask(task);
          for (const watch of listWatches.values()) watch.onTask(task);
        }
        for (const { id, error } of message.failures) onUnreadable(id, fromFailure(error));
        for (const id of message.deletedIds) {
          taskWatches.get(id)?.onDeleted();
          for (const watch of listWatches.values()) watch.onDeleted(id);
        }
        break;
      case 'listed':
        failingSince.delete(message.list);
        listWatches.get(message.list)?.onListed(message.tasks, message.asOf);
        break;
      case 'failed':
        onPollFailure(message.list, message.error);
    }
  }

  /**
   * Some messages were missed. Publishes which states are known here, so that the next poll sends
   * newer ones.
   */
  function onReconnect(): void {
    taskPoller.forgetStates();
    const etags = new Map<string, string | null>();
    for (const [id, { etag }] of taskWatches) etags.set(id, etag);
    for (const watch of listWatches.values()) {
      for (const { id, etag } of watch.runningTasks)
        etags.set(id, etags.has(id) && etags.get(id) !== etag ? null : etag);
      watch.fallBehind();
    }
    const tasks = [...watchedIds.all()].map(id => ({ id, etag: etags.get(id) ?? null }));
    if (tasks.length > 0) group.publish({ kind: 'subscribed', tasks });
    if (listWatches.size > 0) listPoller.startIn(0);
  }

  function onUnreadable(id: string, error: GatewayError): void {
    taskWatches.get(id)?.fail(error);
    for (const watch of listWatches.values()) watch.onUnreadable(id, error);
  }

  function onPollFailure(list: string | null, failure: Failure): void {
    // The failure may come from a poll begun before the last subscriber left, or concern a list
    // that only others watch.
    const isOurs = list === null ? taskWatches.size + listWatches.size > 0 : listWatches.has(list);
    if (!isOurs) return;
    const isFinal = failure.code === 'UNAUTHENTICATED' || failure.code === 'FORBIDDEN';
    const now = clock.monotonic();
    const since = failingSince.get(list) ?? now;
    failingSince.set(list, since);
    if (!isFinal && now - since < MAX_SILENCE_MS) return;
    failingSince.delete(list);
    const error = fromFailure(failure);
    if (list === null) failAll(error);
    else listWatches.get(list)?.fail(error);
  }

  function failAll(error: GatewayError): void {
    for (const watch of [...taskWatches.values(), ...listWatches.values()]) watch.fail(error);
  }
}

/** The state of a task that subscribers have been sent, for a `subscribed` message. */
function toKnown({ id, etag }: Task): { id: string; etag: string } {
  return { id, etag };
}
