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
  /** Tasks of its snapshot that the watch has yet to see on the list, as they were shown. */
  shown: Map<string, Task>;
  /** Tasks told of since its snapshot was asked for, which is older than that; null: there is none on its way. */
  overtaken: Set<string> | null;
}

// A task may appear on upstream's lists a moment after one that was created later.
const OVERLAP_MS = 60_000;
// A snapshot is for a screen; more than this many tasks ask for a narrower filter.
const MAX_SNAPSHOT = 5_000;

export interface ListWatchParts {
  source: TaskSource;
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
  readonly #followers = new Map<Mailbox<TaskChange>, Follower>();
  readonly #running = new Map<string, Task>();
  /** Tasks on the head of the list, by creation: those told are not told again as new. */
  readonly #recent = new Map<string, Instant>();
  #newestCreated: Instant = -Infinity;
  /** What was told before it was known what is there; null once that is known. */
  #early: Task[] | null = [];
  #established: Promise<void> | null = null;
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

  /** The state of a task of the list, as it is known here while it runs. */
  runningTask(id: string): Task | null {
    return this.#running.get(id) ?? null;
  }

  follow(filter: TaskFilter): Mailbox<TaskChange> {
    const mailbox = new Mailbox<TaskChange>(() => {
      if (this.#followers.delete(mailbox) && this.#followers.size === 0) this.#close();
    }, joinChanges);
    this.#followers.set(mailbox, { filter, shown: new Map(), overtaken: null });
    return mailbox;
  }

  /** Learns what is there, telling nobody: what comes after it is news. Done once, however often it is asked for. */
  establish(): Promise<void> {
    return (this.#established ??= this.#learn());
  }

  /** Tells one follower of every task that matches now. Not before `establish`: what comes between is told twice then, and not never. */
  async snapshot(mailbox: Mailbox<TaskChange>): Promise<void> {
    const follower = this.#followers.get(mailbox);
    if (follower === undefined) return;
    const { source } = this.#parts;
    follower.overtaken = new Set();
    for (const task of readableOf(await source.unlisted(this.#lasting)))
      if (matchesCompletion(follower.filter, task)) this.#show(task, mailbox);
    let count = 0;
    for (let offset = 0, isLast = false; !isLast && this.#followers.has(mailbox);) {
      const page = await source.newest(follower.filter, offset);
      for (const task of readableOf(page.tasks)) this.#show(task, mailbox);
      count += page.tasks.length;
      if (count > MAX_SNAPSHOT)
        throw new GatewayError(
          'BAD_USER_INPUT',
          `More than ${MAX_SNAPSHOT} tasks match; a snapshot wants a narrower filter.`,
        );
      offset += page.tasks.length;
      ({ isLast } = page);
    }
    follower.overtaken = null;
  }

  /** The tasks on the head of the list that are new to this instance. */
  async readNews(): Promise<Task[]> {
    const head = await this.#readHead();
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

  /** What is there could not be read: nobody can be told what is news. */
  refuse(error: GatewayError): void {
    this.fail(error);
  }

  fail(error: GatewayError): void {
    for (const mailbox of this.#followers.keys()) mailbox.end(error);
  }

  async #learn(): Promise<void> {
    const { source, watch, openLease } = this.#parts;
    // The head first: what starts meanwhile is newer than it, and is news at the next look.
    const head = await this.#readHead();
    for (const task of head) this.#remember(task);
    for (const task of readableOf(await source.running(this.#lasting)))
      if (task.created <= this.#newestCreated) this.#running.set(task.id, task);
    if (!this.isFollowed) return;
    for (const id of this.#running.keys()) watch(id);
    this.#lease = openLease();
    const early = this.#early ?? [];
    this.#early = null;
    this.list(early);
  }

  /** Newest first, back to where the last look began; at first, as far as tasks may appear late. */
  async #readHead(): Promise<Task[]> {
    const { source } = this.#parts;
    // Before the list: what ends between the two is on that.
    const head = readableOf(await source.unlisted(this.#lasting));
    let oldest = this.#newestCreated - OVERLAP_MS;
    for (let offset = 0; ;) {
      const { tasks, isLast } = await source.newest(this.#lasting, offset);
      const readable = readableOf(tasks);
      if (oldest === -Infinity && readable[0]) oldest = readable[0].created - OVERLAP_MS;
      head.push(...readable.filter(task => task.created >= oldest));
      if (isLast || readable.some(task => task.created < oldest)) return head;
      offset += tasks.length;
    }
  }

  #show(task: Task, mailbox: Mailbox<TaskChange>): void {
    const follower = this.#followers.get(mailbox);
    if (follower === undefined || follower.overtaken?.has(task.id)) return;
    mailbox.put(task.id, { kind: 'SNAPSHOT', task });
    const isKnown = this.#recent.has(task.id) || this.#running.has(task.id);
    if (!isKnown && task.created >= this.#newestCreated - OVERLAP_MS)
      follower.shown.set(task.id, task);
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
    const isNew = !this.#running.has(task.id);
    this.#running.set(task.id, task);
    if (isNew) this.#parts.watch(task.id);
  }

  #stopRunning(id: string): void {
    if (this.#running.delete(id)) this.#parts.unwatch(id);
  }

  #tell(before: Task | null, now: Task): void {
    if (isCompleted(now)) this.#stopRunning(now.id);
    else this.#run(now);
    if (changeOf(before, now) === null) return;
    this.#hasChanged = true;
    // One object for all who are told the same: what is made of it is made once.
    const changes = new Map<TaskChangeKind, TaskChange>();
    for (const [mailbox, { filter, shown, overtaken }] of this.#followers) {
      overtaken?.add(now.id);
      const known = before ?? shown.get(now.id) ?? null;
      shown.delete(now.id);
      const told = kindFor(filter, known, now);
      if (told === null) continue;
      const change = changes.get(told) ?? { kind: told, task: now };
      changes.set(told, change);
      mailbox.put(now.id, change);
    }
  }
}

/** What a change is to one follower: its filter may begin or cease to match as the task ends. */
function kindFor(filter: TaskFilter, before: Task | null, now: Task): TaskChangeKind | null {
  const kind = changeOf(before, now);
  if (kind === null) return null;
  // A task never seen before began without a completion status, as every task does.
  const matchedBefore =
    before === null ? filter.completionStatusIsNull === true : matchesCompletion(filter, before);
  if (!matchesCompletion(filter, now)) return matchedBefore && kind === 'COMPLETED' ? kind : null;
  if (kind === 'COMPLETED') return kind;
  return before === null || !matchedBefore ? 'ADDED' : kind;
}

function readableOf(rows: readonly (Task | GatewayError)[]): Task[] {
  return rows.filter((row): row is Task => !(row instanceof GatewayError));
}
