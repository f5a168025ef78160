import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Lease, WatchGroup } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import { changeOf } from '../task/change.ts';
import type { Task } from '../task/task.ts';
import { Cadence } from './cadence.ts';
import { fingerprintOf } from './fingerprint.ts';
import type { ListWatch } from './list-watch.ts';
import type { Failure, News } from './news.ts';
import { createPoller } from './poller.ts';
import type { TaskSource } from './source.ts';

/** Looks at what is watched, for every instance of the group, where this one has the lease for it. */
export interface Looks {
  /** These are watched from now on, by an instance that has the states of these fingerprints. */
  want(ids: readonly string[], known: readonly (string | null)[]): void;
  /** Some instance published these states, and every instance has received them. */
  notePublished(tasks: readonly Task[]): void;
  /** What was published for a while was not received here. */
  forgetPublished(): void;
  /** Something is to be looked at: within one interval, or at once. */
  start(isUrgent?: boolean): void;
  /** This instance is the one to look from now on. */
  restart(): void;
  close(): void;
}

export interface LooksParts {
  source: TaskSource;
  group: Pick<WatchGroup<News>, 'watchedIds' | 'publish'>;
  /** The right to look at tasks; null while none is watched here. */
  taskLease(): Lease | null;
  lists(): Iterable<ListWatch>;
  clock: Clock;
  log: Log;
  intervalMs: number;
}

/** A task that is looked at. */
interface Looked {
  cadence: Cadence;
  /** The state of the last look, where that is the last one published; else the fingerprint decides. */
  told: Task | null;
  /** Since when it, while others can be, cannot be read; null where it can. */
  failingSince: number | null;
}

/** What a look found of a task: null where upstream no longer has it, an error where it cannot be read. */
interface Found {
  id: string;
  entry: Looked;
  row: Task | GatewayError | null;
}

/** Shorter failures than this, in milliseconds, nobody is told of; a stream that stays dumb for longer is ended. */
export const MAX_SILENCE_MS = 60_000;

// Each costs a request; where a source is deleted, its tasks all go missing at once. The others stay due.
const MAX_CONFIRMED = 5;

// So many tasks of the usual 3 kB are a message that no instance is held up by.
const TASKS_PER_MESSAGE = 200;

// Fingerprints of tasks that nobody watches any more are kept up to this number.
const MAX_FINGERPRINTS = 100_000;

export function createLooks(parts: LooksParts): Looks {
  const { source, group, taskLease, lists, clock, log, intervalMs } = parts;
  const poller = createPoller({ clock, intervalMs, look });
  const looked = new Map<string, Looked>();
  /**
   * Fingerprints of the last states published, by whichever instance: each receives all messages, so the one
   * that has to look next goes on from there and publishes what is different, not everything.
   */
  const published = new Map<string, string>();

  return {
    want(ids, known) {
      for (const [place, id] of ids.entries()) noteKnown(id, known[place] ?? null);
      if (!taskLease()?.isHeld) return;
      for (const id of ids) begin(id, createCadence());
      poller.start();
    },
    notePublished(tasks) {
      for (const task of tasks) setPublished(task.id, fingerprintOf(task));
    },
    forgetPublished() {
      published.clear();
      looked.clear();
    },
    start: poller.start,
    restart() {
      looked.clear();
      poller.start(true);
    },
    close: poller.close,
  };

  /** One look at everything that is due, and when the next is. */
  async function look(): Promise<number | null> {
    const startedAt = clock.monotonic();
    // What is nearly due comes along: together it costs less than by itself a moment later.
    const isDue = (cadence: Cadence) => cadence.dueAt <= startedAt + intervalMs / 2;
    const isLookedAt = (watch: ListWatch) => watch.isEstablished && watch.isOurs;
    await Promise.all([
      attempt(null, () => lookAtTasks(isDue)),
      ...[...lists()]
        .filter(watch => isLookedAt(watch) && isDue(watch.cadence))
        .map(watch => attempt(watch.key, () => lookAtList(watch))),
    ]);
    const dueAt = [
      ...[...looked.values()].map(({ cadence }) => cadence.dueAt),
      ...[...lists()].filter(isLookedAt).map(({ cadence }) => cadence.dueAt),
    ];
    if (dueAt.length === 0) return null;
    const nextAt = dueAt.reduce((earliest, at) => Math.min(earliest, at));
    return Math.max(0, Math.max(startedAt + intervalMs, nextAt) - clock.monotonic());
  }

  async function lookAtTasks(isDue: (cadence: Cadence) => boolean): Promise<void> {
    await gather();
    const due = [...looked].filter(([, { cadence }]) => isDue(cadence));
    if (due.length === 0) return;
    const rows = await source.read(due.map(([id]) => id));
    tell(due.flatMap(([id, entry]) => withRow(id, entry, rows.get(id))));

    const missing = due.filter(([id]) => !rows.has(id)).slice(0, MAX_CONFIRMED);
    if (missing.length === 0) return;
    const confirmed = await Promise.all(missing.map(([id]) => confirm(id)));
    tell(missing.flatMap(([id, entry], place) => withRow(id, entry, confirmed[place])));
  }

  /** What one task alone comes to is no matter to the others; that the token is refused is. */
  async function confirm(id: string): Promise<Found['row']> {
    try {
      return await source.confirm(id);
    } catch (error) {
      if (error instanceof GatewayError && error.code !== 'UNAUTHENTICATED') return error;
      throw error;
    }
  }

  /** Tells the group of what has changed since it was last told. */
  function tell(found: readonly Found[]): void {
    if (!taskLease()?.isHeld) return;
    const tasks: Task[] = [];
    const goneIds: string[] = [];
    const failures: { id: string; error: Failure }[] = [];
    const now = clock.monotonic();
    for (const { id, entry, row } of found) {
      // Wanted anew since, or looked at by another instance for a while: a later state may be known than this.
      if (looked.get(id) !== entry) continue;
      if (row === null) goneIds.push(id);
      // What cannot be read now may be readable at the next look.
      entry.failingSince = row instanceof GatewayError ? (entry.failingSince ?? now) : null;
      if (row instanceof GatewayError && now - (entry.failingSince ?? now) >= MAX_SILENCE_MS)
        failures.push({ id, error: toFailure(row) });
      const isNews =
        row !== null && !(row instanceof GatewayError) && isChanged(id, entry.told, row);
      entry.cadence.looked(isNews);
      if (row !== null && !(row instanceof GatewayError)) entry.told = row;
      if (isNews) tasks.push(row);
    }
    const [first, ...others] = slicesOf(tasks);
    group.publish({ kind: 'looked', tasks: first ?? [], goneIds, failures });
    for (const slice of others)
      group.publish({ kind: 'looked', tasks: slice, goneIds: [], failures: [] });
  }

  function isChanged(id: string, told: Task | null, row: Task): boolean {
    return told === null ? published.get(id) !== fingerprintOf(row) : changeOf(told, row) !== null;
  }

  /** An instance has this state, or (null) none. Where the group's is another one, it is to be published again. */
  function noteKnown(id: string, known: string | null): void {
    const last = published.get(id);
    if (known === null || (last !== undefined && last !== known)) published.delete(id);
    else setPublished(id, known);
  }

  function setPublished(id: string, fingerprint: string): void {
    // Last again: the oldest are dropped.
    published.delete(id);
    published.set(id, fingerprint);
    const [oldest] = published.keys();
    if (published.size > MAX_FINGERPRINTS && oldest !== undefined) published.delete(oldest);
  }

  function begin(id: string, cadence: Cadence): void {
    looked.set(id, { cadence, told: null, failingSince: null });
  }

  /** What is watched anywhere in the group is looked at, and nothing else. */
  async function gather(): Promise<void> {
    if (!taskLease()?.isHeld) {
      looked.clear();
      return;
    }
    const watched = await group.watchedIds();
    if (published.size > 2 * watched.size)
      for (const id of published.keys()) if (!watched.has(id)) published.delete(id);
    for (const id of looked.keys()) if (!watched.has(id)) looked.delete(id);
    for (const id of watched) if (!looked.has(id)) begin(id, createCadence(0));
  }

  async function lookAtList(watch: ListWatch): Promise<void> {
    const tasks = await watch.readNews();
    if (!watch.isOurs) return;
    group.publish({ kind: 'listed', list: watch.key, tasks });
    watch.looked();
  }

  async function attempt(list: string | null, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      const failure = toFailure(toGatewayError(error));
      log.warn({ code: failure.code, list }, 'a look failed');
      group.publish({ kind: 'failed', list, error: failure });
    }
  }

  function createCadence(firstInMs?: number): Cadence {
    return new Cadence({ clock, intervalMs, firstInMs, pressure: () => source.pressure() });
  }

  function toGatewayError(error: unknown): GatewayError {
    if (error instanceof GatewayError) return error;
    log.error({ err: error }, 'a look failed');
    return new GatewayError('INTERNAL_SERVER_ERROR', 'Unexpected error.', { cause: error });
  }
}

function toFailure({ code, message, extensions }: GatewayError): Failure {
  const { code: _, ...details } = extensions;
  return { code, message, details };
}

function slicesOf(tasks: readonly Task[]): Task[][] {
  const count = Math.ceil(tasks.length / TASKS_PER_MESSAGE);
  return Array.from({ length: count }, (_, place) =>
    tasks.slice(place * TASKS_PER_MESSAGE, (place + 1) * TASKS_PER_MESSAGE),
  );
}

function withRow(id: string, entry: Looked, row: Found['row'] | undefined): Found[] {
  return row === undefined ? [] : [{ id, entry, row }];
}
