import type { Clock } from '../clock.ts';
import type { WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import { toFailure, toGatewayError } from './failure.ts';
import type { GroupMessage } from './group-message.ts';
import type { ListWatch } from './list-watch.ts';
import { type PollObserver, createPoller } from './poller.ts';
import type { ListHead, TaskSource } from './source.ts';

/** Polls the heads of watched lists. A list is polled only while this instance holds its lease. */
export interface ListPoller {
  /** Polls lists that are due after `delayMs` milliseconds. A list that is due later waits until then. */
  startIn(delayMs: number): void;
  close(): void;
}

export interface ListPollerParts {
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
  const { source, group, lists, clock, log, intervalMs, observer } = parts;
  /** Lists that are being read. A read that hangs delays neither tasks nor other lists. */
  const inFlight = new Set<ListWatch>();
  const poller = createPoller({ clock, poll: async () => pollDue() });
  return { startIn: poller.startIn, close: poller.close };

  function pollDue(): number | null {
    const now = clock.monotonic();
    const due = idle().filter(({ cadence }) => cadence.dueAt <= now + intervalMs / 2);
    for (const watch of due) inFlight.add(watch);
    const heads = source.pollHeads(due.map(({ headRequest }) => headRequest));
    for (const [place, head] of heads.entries()) {
      const watch = due[place];
      if (watch) void settle(watch, head);
    }
    return nextInMs(now + intervalMs);
  }

  async function settle(watch: ListWatch, head: Promise<ListHead>): Promise<void> {
    const startedAt = clock.monotonic();
    let isFailure = false;
    try {
      publish(watch, await head);
    } catch (error) {
      isFailure = true;
      const failure = toFailure(toGatewayError(error, log));
      log.warn({ code: failure.code, list: watch.key }, 'a poll of a list failed');
      group.publish({ kind: 'failed', list: watch.key, error: failure });
    } finally {
      inFlight.delete(watch);
      observer?.polled('list', isFailure, clock.monotonic() - startedAt);
      const delayMs = nextInMs(startedAt + intervalMs);
      if (delayMs !== null) poller.startIn(delayMs);
    }
  }

  function publish(watch: ListWatch, head: ListHead): void {
    // The lease was lost during the read. The instance that holds it now may have published a later state.
    if (!watch.isOurs) return;
    const tasks = watch.newTasksOf(head);
    const readAt = clock.now();
    group.publish({ kind: 'listed', list: watch.key, readAt, tasks, asOf: head.asOf });
    watch.onPolled();
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
