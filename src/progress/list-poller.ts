import type { Clock } from '../clock.ts';
import type { WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { OperationUsage } from '../usage.ts';
import { toFailure, toGatewayError } from './failure.ts';
import type { GroupMessage } from './group-message.ts';
import type { ListWatch } from './list-watch.ts';
import { type PollResult, tracePoll } from './poll-trace.ts';
import { type PollObserver, type PollTracing, createPoller } from './poller.ts';
import type { ListHead, TaskSource } from './source.ts';

/** Polls the heads of watched lists. A list is polled only while this instance holds its lease. */
export interface ListPoller {
  /**
   * Polls lists that are due after `delayMs` milliseconds. A list that is due later waits until
   * then.
   */
  startIn(delayMs: number): void;
  close(): void;
}

export interface ListPollerParts extends PollTracing {
  source: Pick<TaskSource, 'pollHeads'>;
  group: Pick<WatchGroup<GroupMessage>, 'publish'>;
  lists(): Iterable<ListWatch>;
  clock: Clock;
  log: Log;
  intervalMs: number;
  observer?: PollObserver | undefined;
}

/** A poller that is idle until `startIn` is called. */
export function createListPoller(parts: ListPollerParts): ListPoller {
  const { source, group, lists, clock, log, intervalMs, observer, tracer } = parts;
  /** Lists that are being read. A read that hangs delays neither tasks nor other lists. */
  const inFlight = new Set<ListWatch>();
  const poller = createPoller({ clock, poll: async () => pollDue() });
  return { startIn: poller.startIn, close: poller.close };

  function pollDue(): number | null {
    const now = clock.monotonic();
    const due = idle().filter(({ cadence }) => cadence.dueAt <= now + intervalMs / 2);
    for (const watch of due) inFlight.add(watch);
    if (due.length > 0)
      void tracePoll(tracer, 'poll lists', { lists: due.length }, usage => read(due, usage));
    return nextInMs(now + intervalMs);
  }

  /** Never rejects. */
  async function read(due: readonly ListWatch[], usage: OperationUsage): Promise<PollResult> {
    const requests = due.map(({ headRequest }) => headRequest);
    const heads = source.pollHeads(requests, usage);
    const results = await Promise.all(due.map(async (watch, place) => settle(watch, heads[place])));
    return {
      changed: results.reduce((sum, { changed }) => sum + changed, 0),
      failureCode: results.find(({ failureCode }) => failureCode !== null)?.failureCode ?? null,
    };
  }

  async function settle(
    watch: ListWatch,
    head: Promise<ListHead> | undefined,
  ): Promise<PollResult> {
    const startedAt = clock.monotonic();
    let isFailure = false;
    try {
      return { changed: head === undefined ? 0 : publish(watch, await head), failureCode: null };
    } catch (error) {
      isFailure = true;
      const failure = toFailure(toGatewayError(error, log));
      // Without the filter, which a caller has sent.
      log.warn({ code: failure.code }, 'a poll of a list failed');
      group.publish({ kind: 'failed', list: watch.key, error: failure });
      return { changed: 0, failureCode: failure.code };
    } finally {
      inFlight.delete(watch);
      observer?.polled('list', isFailure, clock.monotonic() - startedAt);
      const delayMs = nextInMs(startedAt + intervalMs);
      if (delayMs !== null) poller.startIn(delayMs);
    }
  }

  /** Returns how many tasks are new. */
  function publish(watch: ListWatch, head: ListHead): number {
    // The lease was lost during the read. The instance that holds it now may have published a later
    // state.
    if (!watch.isOurs) return 0;
    const tasks = watch.newTasksOf(head);
    const readAt = clock.now();
    group.publish({ kind: 'listed', list: watch.key, readAt, tasks, asOf: head.asOf });
    watch.onPolled();
    return tasks.length;
  }

  function nextInMs(earliestAt: number): number | null {
    const dueAt = idle().map(({ cadence }) => cadence.dueAt);
    if (dueAt.length === 0) return null;
    const nextAt = dueAt.reduce((earliest, at) => Math.min(earliest, at));
    return Math.max(0, Math.max(earliestAt, nextAt) - clock.monotonic());
  }

  function idle(): ListWatch[] {
    return [...lists()].filter(
      watch => watch.isInitialised && watch.isOurs && !inFlight.has(watch),
    );
  }
}
