import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { TaskChange } from '../task/change.ts';
import { type TaskFilter, lastingPartOf, matchesNothing } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import { Cadence } from './cadence.ts';
import { ListWatch } from './list-watch.ts';
import type { Mailbox } from './mailbox.ts';
import { createPoller } from './poller.ts';
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
  clock: Clock;
  log: Log;
  intervalMs: number;
  /** How many may follow at once. */
  maxFollowers: number;
}

// Shorter failures than this nobody is told of; a stream that stays dumb for longer is ended.
const MAX_SILENCE_MS = 60_000;

export function createHub({ source, clock, log, intervalMs, maxFollowers }: HubParts): Hub {
  const taskWatches = new Map<string, TaskWatch>();
  const listWatches = new Map<string, ListWatch>();
  const poller = createPoller({ clock, intervalMs, look });
  let failingSince: number | null = null;
  let followers = 0;

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
        watch
          .snapshot(filter, mailbox, source)
          .catch((error: unknown) => mailbox.end(toGatewayError(error)));
      return mailbox;
    },
    close() {
      poller.close();
      failAll(new GatewayError('UPSTREAM_UNAVAILABLE', 'The gateway is shutting down.'));
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
    const watch = new TaskWatch(id, createCadence(), () => taskWatches.delete(id));
    taskWatches.set(id, watch);
    establish(watch);
    return watch;
  }

  function openListWatch(key: string, filter: TaskFilter): ListWatch {
    const watch = new ListWatch(filter, createCadence(), () => listWatches.delete(key));
    listWatches.set(key, watch);
    establish(watch);
    return watch;
  }

  function establish(watch: TaskWatch | ListWatch): void {
    watch
      .establish(source)
      .then(poller.start, (error: unknown) => watch.fail(toGatewayError(error)));
  }

  function createCadence(): Cadence {
    return new Cadence({ clock, intervalMs, pressure: () => source.pressure() });
  }

  /** One look at everything that is due. */
  async function look(): Promise<number | null> {
    const startedAt = clock.monotonic();
    // What is nearly due comes along: together it costs less than by itself a moment later.
    const isDue = ({ isEstablished, cadence }: TaskWatch | ListWatch) =>
      isEstablished && cadence.dueAt <= startedAt + intervalMs / 2;
    try {
      await lookAt(
        [...taskWatches.values()].filter(isDue),
        [...listWatches.values()].filter(isDue),
      );
      failingSince = null;
    } catch (error) {
      endure(toGatewayError(error));
    }
    const dueAt = [...taskWatches.values(), ...listWatches.values()]
      .filter(({ isEstablished }) => isEstablished)
      .map(({ cadence }) => cadence.dueAt);
    if (dueAt.length === 0) return null;
    const nextAt = dueAt.reduce((earliest, at) => Math.min(earliest, at));
    return Math.max(0, Math.max(startedAt + intervalMs, nextAt) - clock.monotonic());
  }

  async function lookAt(tasks: readonly TaskWatch[], lists: readonly ListWatch[]): Promise<void> {
    const ids = new Set([
      ...tasks.map(({ id }) => id),
      ...lists.flatMap(({ runningIds }) => [...runningIds]),
    ]);
    const rows = ids.size > 0 ? await source.read([...ids]) : new Map<string, Task>();
    await Promise.all([
      ...tasks.map(watch => watch.look(rows.get(watch.id), source)),
      ...lists.map(watch => watch.look(rows, source)),
    ]);
  }

  function endure(error: GatewayError): void {
    const now = clock.monotonic();
    failingSince ??= now;
    log.warn({ code: error.code, failingForMs: now - failingSince }, 'a look failed');
    const isFinal = error.code === 'UNAUTHENTICATED' || error.code === 'FORBIDDEN';
    if (!isFinal && now - failingSince < MAX_SILENCE_MS) return;
    failingSince = null;
    failAll(error);
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
