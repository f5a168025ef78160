import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { GroupListener, Lease, WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { TaskChange } from '../task/change.ts';
import { type TaskFilter, lastingPartOf, matchesNothing } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import { Cadence, LIVELY_INTERVALS } from './cadence.ts';
import { MAX_SILENCE_MS, fromFailure, toGatewayError } from './failure.ts';
import type { Failure, GroupMessage } from './group-message.ts';
import { createListPoller } from './list-poller.ts';
import { ListWatch } from './list-watch.ts';
import type { Mailbox } from './mailbox.ts';
import type { TaskSource } from './source.ts';
import { createTaskPoller } from './task-poller.ts';
import { TaskWatch } from './task-watch.ts';
import { createWatchedIds } from './watched-ids.ts';

/** Watches, each shared by all its subscribers. */
export interface Hub {
  /** The current state, then each change; ends with the event in which the task is COMPLETED. */
  followTask(id: string): Mailbox<Task>;
  /** What is added, changes or completes; with `snapshot`, first what matches now. */
  followChanges(filter: TaskFilter, snapshot: boolean): Mailbox<TaskChange>;
  /** Watches that have subscribers. */
  readonly size: number;
  close(): void;
}

export interface HubParts {
  source: TaskSource;
  /** Joins the instances that watch with the same credential. */
  openGroup(listener: GroupListener<GroupMessage>): WatchGroup<GroupMessage>;
  clock: Clock;
  log: Log;
  intervalMs: number;
  /** Subscriptions at once. */
  maxFollowers: number;
}

/**
 * The group is told what is watched here, and one of its instances polls it for all. What that instance
 * finds comes back as messages to each instance, itself included.
 */
export function createHub(parts: HubParts): Hub {
  const { source, clock, log, intervalMs, maxFollowers } = parts;
  const taskWatches = new Map<string, TaskWatch>();
  const listWatches = new Map<string, ListWatch>();
  /** Since when polls fail: of a list, or of tasks (null). */
  const failingSince = new Map<string | null, number>();
  let taskLease: Lease | null = null;
  let subscribers = 0;

  const group = parts.openGroup({ receive, rejoined });
  const taskPoller = createTaskPoller({ ...parts, group, lease: () => taskLease });
  const listPoller = createListPoller({ ...parts, group, lists: () => listWatches.values() });
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
    // Subscribed before it returns, so that nothing published meanwhile is missed.
    followTask(id) {
      checkRoom();
      const watch = taskWatches.get(id) ?? openTaskWatch(id);
      return counted(watch.subscribe());
    },
    followChanges(filter, snapshot) {
      checkRoom();
      if (matchesNothing(filter))
        throw new GatewayError(
          'BAD_USER_INPUT',
          'The filter has an empty list: no task can ever match it.',
        );
      const key = JSON.stringify(lastingPartOf(filter));
      const watch = listWatches.get(key) ?? openListWatch(key, filter);
      const mailbox = counted(watch.subscribe(filter));
      if (snapshot)
        joined(() => watch.initialise())
          .then(() => watch.sendSnapshot(mailbox))
          .catch((error: unknown) => mailbox.end(toGatewayError(error, log)));
      return mailbox;
    },
    close() {
      taskPoller.close();
      listPoller.close();
      failAll(new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.'));
      group.close();
    },
  };

  function checkRoom(): void {
    if (subscribers >= maxFollowers)
      throw new GatewayError(
        'RATE_LIMITED',
        `One credential may have ${maxFollowers} subscriptions at once.`,
      );
  }

  function counted<T>(mailbox: Mailbox<T>): Mailbox<T> {
    subscribers++;
    return mailbox.whenClosed(() => subscribers--);
  }

  function openTaskWatch(id: string): TaskWatch {
    let isWatched = false;
    const watch = new TaskWatch(id, {
      source,
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
      await joined(() => watch.initialise()).catch((error: unknown) =>
        watch.refuse(toGatewayError(error, log)),
      );
      // Even where it failed: a poll for others may have sent those who waited a state, and they stay.
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
    joined(() => watch.initialise()).then(
      () => listPoller.startIn(intervalMs),
      // Without knowing what is there, nothing can be told to be new.
      (error: unknown) => watch.fail(toGatewayError(error, log)),
    );
    return watch;
  }

  /** Reads once the group is joined: what others publish from the moment of reading on must be received. */
  async function joined(read: () => Promise<void>): Promise<void> {
    await group.joined;
    return read();
  }

  function receive(message: GroupMessage): void {
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

  /** Messages were lost meanwhile: the group is told what is known here, and publishes what is newer. */
  function rejoined(): void {
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
    // Of a poll that was under way when the last subscriber left, or of a list that others watch.
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

/** What a subscriber knows of a task. */
function toKnown({ id, etag }: Task): { id: string; etag: string } {
  return { id, etag };
}
