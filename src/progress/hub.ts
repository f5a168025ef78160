import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { GroupListener, Lease, WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { TaskChange } from '../task/change.ts';
import { type TaskFilter, lastingPartOf, matchesNothing } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import { Cadence, LIVELY_INTERVALS } from './cadence.ts';
import { createInterest } from './interest.ts';
import { ListWatch } from './list-watch.ts';
import { MAX_SILENCE_MS, createLooks } from './looks.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { Mailbox } from './mailbox.ts';
import type { Failure, News } from './news.ts';
import type { TaskSource } from './source.ts';
import { TaskWatch } from './task-watch.ts';

/** Watches, each shared by all who follow the same. */
export interface Hub {
  /** The state now, then each change; ends with the event in which the task is COMPLETED. */
  followTask(id: string): Mailbox<Task>;
  /** What is added, changes or completes; with `snapshot`, first what matches now. */
  followChanges(filter: TaskFilter, snapshot: boolean): Mailbox<TaskChange>;
  /** Watches that somebody follows. */
  readonly size: number;
  close(): void;
}

export interface HubParts {
  source: TaskSource;
  /** Joins the instances that watch with the same credential. */
  openGroup(listener: GroupListener<News>): WatchGroup<News>;
  clock: Clock;
  log: Log;
  intervalMs: number;
  /** How many may follow at once. */
  maxFollowers: number;
}

/**
 * What is watched here is told to the group, and one instance of the group looks at it for all. News of
 * what it saw comes back the same way to each instance, the one that looked included.
 */
export function createHub(parts: HubParts): Hub {
  const { source, clock, log, intervalMs, maxFollowers } = parts;
  const taskWatches = new Map<string, TaskWatch>();
  const listWatches = new Map<string, ListWatch>();
  /** Since when looks fail: at a list, or at tasks (null). */
  const failingSince = new Map<string | null, number>();
  let taskLease: Lease | null = null;
  let followers = 0;

  const group = parts.openGroup({ receive, rejoined });
  const looks = createLooks({
    ...parts,
    group,
    taskLease: () => taskLease,
    lists: () => listWatches.values(),
  });
  const interest = createInterest({
    begin(id) {
      group.watch(id);
      taskLease ??= group.openLease('tasks', () => looks.restart());
    },
    end: id => group.unwatch(id),
    endAll() {
      taskLease?.close();
      taskLease = null;
      failingSince.clear();
    },
  });

  return {
    get size() {
      return taskWatches.size + listWatches.size;
    },
    // Joined before it returns, so that nothing told meanwhile is missed.
    followTask(id) {
      checkRoom();
      const watch = taskWatches.get(id) ?? openTaskWatch(id);
      return counted(watch.follow());
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
      const mailbox = counted(watch.follow(filter));
      if (snapshot)
        joined(() => watch.establish())
          .then(() => watch.snapshot(mailbox))
          .catch((error: unknown) => mailbox.end(toGatewayError(error)));
      return mailbox;
    },
    close() {
      looks.close();
      failAll(new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.'));
      group.close();
    },
  };

  function checkRoom(): void {
    if (followers >= maxFollowers)
      throw new GatewayError(
        'RATE_LIMITED',
        `One credential may have ${maxFollowers} subscriptions at once.`,
      );
  }

  function counted<T>(mailbox: Mailbox<T>): Mailbox<T> {
    followers++;
    return mailbox.whenClosed(() => followers--);
  }

  function openTaskWatch(id: string): TaskWatch {
    let isWatched = false;
    const watch = new TaskWatch(id, {
      source,
      clock,
      youngForMs: LIVELY_INTERVALS * intervalMs,
      onWanted: () =>
        void establish(watch, () => {
          if (!isWatched) interest.add(id);
          isWatched = true;
          publishWanted([id]);
        }),
      onEmpty() {
        taskWatches.delete(id);
        if (isWatched) interest.remove(id);
      },
    });
    taskWatches.set(id, watch);
    return watch;
  }

  function openListWatch(key: string, filter: TaskFilter): ListWatch {
    const watch = new ListWatch(filter, {
      key,
      source,
      cadence: new Cadence({ clock, intervalMs, pressure: () => source.pressure() }),
      openLease: () => group.openLease(`list ${key}`, () => looks.start(true)),
      watch(id) {
        interest.add(id);
        publishWanted([id]);
      },
      unwatch: interest.remove,
      onEmpty: () => {
        listWatches.delete(key);
        failingSince.delete(key);
      },
    });
    listWatches.set(key, watch);
    void establish(watch, looks.start);
    return watch;
  }

  async function establish(watch: TaskWatch | ListWatch, then: () => void): Promise<void> {
    await joined(() => watch.establish()).catch((error: unknown) =>
      watch.refuse(toGatewayError(error)),
    );
    // Also where it failed: a look for others may have told those who waited, and they follow on.
    if (watch.isFollowed) then();
  }

  /** Reads once the group is joined: what others tell from the moment of reading on must be heard. */
  async function joined(read: () => Promise<void>): Promise<void> {
    await group.joined;
    return read();
  }

  function receive(news: News): void {
    switch (news.kind) {
      case 'wanted':
        looks.want(news.ids, news.known);
        break;
      case 'looked':
        failingSince.delete(null);
        looks.notePublished(news.tasks);
        for (const task of news.tasks) see(task);
        for (const { id, error } of news.failures) taskWatches.get(id)?.fail(toError(error));
        for (const id of news.goneIds) {
          taskWatches.get(id)?.gone();
          for (const watch of listWatches.values()) watch.gone(id);
        }
        break;
      case 'listed':
        failingSince.delete(news.list);
        listWatches.get(news.list)?.list(news.tasks);
        break;
      case 'failed':
        endure(news.list, news.error);
    }
  }

  /** What was told meanwhile is asked for again, by those who watch it here. */
  function rejoined(): void {
    looks.forgetPublished();
    const ids = [...interest.ids()];
    if (ids.length > 0) publishWanted(ids);
    for (const watch of listWatches.values()) watch.fallBehind();
    if (listWatches.size > 0) looks.start(true);
  }

  function publishWanted(ids: readonly string[]): void {
    group.publish({ kind: 'wanted', ids, known: ids.map(knownOf) });
  }

  /** The fingerprint of the state that every watch here has; null where they differ or one has none. */
  function knownOf(id: string): string | null {
    const taskWatch = taskWatches.get(id);
    const states = [...listWatches.values()].map(watch => watch.runningTask(id));
    const known = states.filter(task => task !== null);
    if (taskWatch !== undefined) {
      if (taskWatch.seen === null) return null;
      known.push(taskWatch.seen);
    }
    const [first, ...others] = known.map(fingerprintOf);
    return first !== undefined && others.every(other => other === first) ? first : null;
  }

  function see(task: Task): void {
    taskWatches.get(task.id)?.tell(task);
    for (const watch of listWatches.values()) watch.see(task);
  }

  function endure(list: string | null, failure: Failure): void {
    // Of a look that was under way when the last follower left, or at a list that others watch.
    const isOurs = list === null ? taskWatches.size + listWatches.size > 0 : listWatches.has(list);
    if (!isOurs) return;
    const isFinal = failure.code === 'UNAUTHENTICATED' || failure.code === 'FORBIDDEN';
    const now = clock.monotonic();
    const since = failingSince.get(list) ?? now;
    failingSince.set(list, since);
    if (!isFinal && now - since < MAX_SILENCE_MS) return;
    failingSince.delete(list);
    const error = toError(failure);
    if (list === null) failAll(error);
    else listWatches.get(list)?.fail(error);
  }

  function toError({ code, message, details }: Failure): GatewayError {
    return new GatewayError(code, message, details);
  }

  function failAll(error: GatewayError): void {
    for (const watch of [...taskWatches.values(), ...listWatches.values()]) watch.fail(error);
  }

  function toGatewayError(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error;
    log.error({ err: error }, 'a watch failed');
    return new GatewayError('INTERNAL_SERVER_ERROR', 'Unexpected error.', { cause: error });
  }
}
