import { GatewayError } from '../errors.ts';
import { type TaskChange, type TaskChangeKind, changeOf, joinChanges } from '../task/change.ts';
import { type TaskFilter, lastingPartOf, matchesCompletion } from '../task/filter.ts';
import { type Instant, type Task, isCompleted } from '../task/task.ts';
import type { Lease } from '../fleet/fleet.ts';
import type { Cadence } from './cadence.ts';
import { Mailbox } from './mailbox.ts';
import type { TaskSource } from './source.ts';

interface Follower {
  filter: TaskFilter;
  mailbox: Mailbox<TaskChange>;
}

// A task may appear on upstream's lists a moment after one that was created later.
const OVERLAP_MS = 60_000;
// A snapshot is for a screen; more than this many tasks ask for a narrower filter.
const MAX_SNAPSHOT = 5_000;

export interface ListWatchParts {
  cadence: Cadence;
  /** The lasting part of the filter, in words: watches with the same are one. */
  key: string;
  /** The right to look at the list for all instances that watch it. */
  openLease(): Lease;
  /** A running task of it is to be looked at, or no more. */
  watch(id: string): void;
  unwatch(id: string): void;
  onEmpty(): void;
}

/**
 * All tasks that match a filter, and all who follow them.
 *
 * Two things are read for it: the head of the list, newest first, back to where the last look began;
 * and, with all tasks that anybody watches, every task of it that was running. So a task is seen that
 * starts and ends between two looks, and one that begins to match, or ceases to, by ending. Which tasks
 * a filter is about never changes, but for the completion status: that part is decided here, for each
 * follower.
 *
 * One instance looks at the head for all that watch the list, and each keeps what it was told: whoever
 * has to look next goes on from there.
 */
export class ListWatch {
  readonly key: string;
  readonly cadence: Cadence;
  readonly #lasting: TaskFilter;
  readonly #parts: ListWatchParts;
  readonly #followers = new Set<Follower>();
  readonly #running = new Map<string, Task>();
  /** Tasks on the head of the list, by creation: those told are not told again as new. */
  readonly #recent = new Map<string, Instant>();
  #newestCreated: Instant = -Infinity;
  /** What was told before it was known what is there; null once that is known. */
  #early: Task[] | null = [];
  #lease: Lease | null = null;
  #isBehind = false;
  #hasChanged = false;

  constructor(filter: TaskFilter, parts: ListWatchParts) {
    this.key = parts.key;
    this.cadence = parts.cadence;
    this.#lasting = lastingPartOf(filter);
    this.#parts = parts;
  }

  get isEstablished(): boolean {
    return this.#early === null;
  }

  /** Whether this instance is to look at the head of the list. */
  get isOurs(): boolean {
    return this.#isBehind || (this.#lease?.isHeld ?? false);
  }

  get isFollowed(): boolean {
    return this.#followers.size > 0;
  }

  get runningIds(): Iterable<string> {
    return this.#running.keys();
  }

  follow(filter: TaskFilter): Mailbox<TaskChange> {
    const mailbox = new Mailbox<TaskChange>(() => {
      if (this.#followers.delete(follower) && this.#followers.size === 0) this.#close();
    }, joinChanges);
    const follower = { filter, mailbox };
    this.#followers.add(follower);
    return mailbox;
  }

  /** Learns what is there, telling nobody: what comes after it is news. */
  async establish(source: TaskSource): Promise<void> {
    // The head first: what starts meanwhile is newer than it, and is news at the next look.
    const head = await this.#readHead(source);
    for (const task of head) this.#remember(task);
    for (const task of await source.running(this.#lasting))
      if (!(task instanceof GatewayError) && task.created <= this.#newestCreated)
        this.#running.set(task.id, task);
    if (!this.isFollowed) return;
    for (const id of this.#running.keys()) this.#parts.watch(id);
    this.#lease = this.#parts.openLease();
    const early = this.#early ?? [];
    this.#early = null;
    this.list(early);
  }

  /** Tells one follower of every task that matches now. */
  async snapshot(
    filter: TaskFilter,
    mailbox: Mailbox<TaskChange>,
    source: TaskSource,
  ): Promise<void> {
    let count = 0;
    for (let offset = 0, isLast = false; !isLast;) {
      const page = await source.newest(filter, offset);
      for (const task of page.tasks)
        if (!(task instanceof GatewayError)) mailbox.put(task.id, { kind: 'SNAPSHOT', task });
      count += page.tasks.length;
      if (count > MAX_SNAPSHOT)
        throw new GatewayError(
          'BAD_USER_INPUT',
          `More than ${MAX_SNAPSHOT} tasks match; a snapshot wants a narrower filter.`,
        );
      offset += page.tasks.length;
      ({ isLast } = page);
    }
  }

  /** The tasks on the head of the list that are new to this instance. */
  async readNews(source: TaskSource): Promise<Task[]> {
    const head = await this.#readHead(source);
    return head.filter(({ id }) => !this.#recent.has(id) && !this.#running.has(id));
  }

  /** A look at the head was had, and what it found was told. */
  looked(): void {
    this.cadence.looked(this.#hasChanged);
    this.#hasChanged = false;
    this.#isBehind = false;
  }

  /** What was told of the list for a while was not heard: the next look is this instance's own. */
  fallBehind(): void {
    this.#isBehind = true;
  }

  /** These are new on the list. */
  list(tasks: readonly Task[]): void {
    if (this.#early !== null) {
      this.#early.push(...tasks);
      return;
    }
    for (const task of tasks) {
      if (!this.#recent.has(task.id) && !this.#running.has(task.id)) this.#tell(null, task);
      this.#remember(task);
    }
    for (const [id, created] of this.#recent)
      if (created < this.#newestCreated - OVERLAP_MS) this.#recent.delete(id);
  }

  /** A task that is watched, of this list or not, is so now. */
  see(task: Task): void {
    const before = this.#running.get(task.id);
    if (before !== undefined && this.isEstablished) this.#tell(before, task);
  }

  gone(id: string): void {
    this.#stopRunning(id);
  }

  fail(error: GatewayError): void {
    for (const { mailbox } of this.#followers) mailbox.end(error);
  }

  async #readHead(source: TaskSource): Promise<Task[]> {
    const head: Task[] = [];
    const oldest = this.#newestCreated - OVERLAP_MS;
    for (let offset = 0; ;) {
      const { tasks, isLast } = await source.newest(this.#lasting, offset);
      const readable = tasks.filter((task): task is Task => !(task instanceof GatewayError));
      head.push(...readable.filter(task => task.created >= oldest));
      // At first there is no place to go back to: one page will do.
      if (isLast || oldest === -Infinity || readable.some(task => task.created < oldest))
        return head;
      offset += tasks.length;
    }
  }

  #close(): void {
    this.#lease?.close();
    if (this.isEstablished) for (const id of this.#running.keys()) this.#parts.unwatch(id);
    this.#parts.onEmpty();
  }

  #remember(task: Task): void {
    this.#recent.set(task.id, task.created);
    this.#newestCreated = Math.max(this.#newestCreated, task.created);
    if (this.#early !== null && !isCompleted(task)) this.#running.set(task.id, task);
  }

  #run(task: Task): void {
    if (!this.#running.has(task.id)) this.#parts.watch(task.id);
    this.#running.set(task.id, task);
  }

  #stopRunning(id: string): void {
    if (this.#running.delete(id)) this.#parts.unwatch(id);
  }

  #tell(before: Task | null, now: Task): void {
    if (isCompleted(now)) this.#stopRunning(now.id);
    else this.#run(now);
    const kind = changeOf(before, now);
    if (kind === null) return;
    this.#hasChanged = true;
    // One object for all who are told the same: what is made of it is made once.
    const changes = new Map<TaskChangeKind, TaskChange>();
    for (const { filter, mailbox } of this.#followers) {
      const told = kindFor(filter, kind, before, now);
      if (told === null) continue;
      const change = changes.get(told) ?? { kind: told, task: now };
      changes.set(told, change);
      mailbox.put(now.id, change);
    }
  }
}

/** What a change is to one follower: its filter may begin or cease to match as the task ends. */
function kindFor(
  filter: TaskFilter,
  kind: TaskChangeKind,
  before: Task | null,
  now: Task,
): TaskChangeKind | null {
  // A task never seen before began without a completion status, as every task does.
  const matchedBefore =
    before === null ? filter.completionStatusIsNull === true : matchesCompletion(filter, before);
  if (!matchesCompletion(filter, now)) return matchedBefore && kind === 'COMPLETED' ? kind : null;
  if (kind === 'COMPLETED') return kind;
  return before === null || !matchedBefore ? 'ADDED' : kind;
}
