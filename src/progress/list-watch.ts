import { GatewayError } from '../errors.ts';
import { type TaskChange, type TaskChangeKind, changeOf, joinChanges } from '../task/change.ts';
import { type TaskFilter, lastingPartOf, matchesCompletion } from '../task/filter.ts';
import { type Instant, type Task, isCompleted } from '../task/task.ts';
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

/**
 * All tasks that match a filter, and all who follow them.
 *
 * A look reads two things: the head of the list, newest first, back to where the last look began;
 * and every task that was running. So a task is seen that starts and ends between two looks, and
 * one that begins to match, or ceases to, by ending. Which tasks a filter is about never changes,
 * but for the completion status: that part is decided here, for each follower.
 */
export class ListWatch {
  readonly cadence: Cadence;
  readonly #lasting: TaskFilter;
  readonly #onEmpty: () => void;
  readonly #followers = new Set<Follower>();
  readonly #running = new Map<string, Task>();
  /** Tasks on the head of the list, by creation: those told are not told again as new. */
  readonly #recent = new Map<string, Instant>();
  #newestCreated: Instant = -Infinity;
  #isEstablished = false;

  constructor(filter: TaskFilter, cadence: Cadence, onEmpty: () => void) {
    this.cadence = cadence;
    this.#lasting = lastingPartOf(filter);
    this.#onEmpty = onEmpty;
  }

  get isEstablished(): boolean {
    return this.#isEstablished;
  }

  /** The tasks that a look has to read by id. */
  get runningIds(): Iterable<string> {
    return this.#running.keys();
  }

  follow(filter: TaskFilter): Mailbox<TaskChange> {
    const mailbox = new Mailbox<TaskChange>(() => {
      if (this.#followers.delete(follower) && this.#followers.size === 0) this.#onEmpty();
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
    this.#isEstablished = true;
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

  /** `rows` has the tasks of `runningIds`, as far as the look found them. */
  async look(rows: ReadonlyMap<string, Task | GatewayError>, source: TaskSource): Promise<void> {
    let hasChanged = false;
    for (const [id, before] of this.#running) {
      const now = rows.get(id) ?? (await source.confirm(id));
      if (now === null) this.#running.delete(id);
      else if (!(now instanceof GatewayError)) hasChanged = this.#tell(before, now) || hasChanged;
    }
    for (const task of await this.#readHead(source)) {
      if (!this.#recent.has(task.id) && !this.#running.has(task.id))
        hasChanged = this.#tell(null, task) || hasChanged;
      this.#remember(task);
    }
    for (const [id, created] of this.#recent)
      if (created < this.#newestCreated - OVERLAP_MS) this.#recent.delete(id);
    this.cadence.looked(hasChanged);
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

  #remember(task: Task): void {
    this.#recent.set(task.id, task.created);
    this.#newestCreated = Math.max(this.#newestCreated, task.created);
    if (!isCompleted(task) && !this.#running.has(task.id)) this.#running.set(task.id, task);
  }

  /** Whether anything has changed, seen by a follower or not. */
  #tell(before: Task | null, now: Task): boolean {
    if (isCompleted(now)) this.#running.delete(now.id);
    else this.#running.set(now.id, now);
    const kind = changeOf(before, now);
    if (kind === null) return false;
    // One object for all who are told the same: what is made of it is made once.
    const changes = new Map<TaskChangeKind, TaskChange>();
    for (const { filter, mailbox } of this.#followers) {
      const told = kindFor(filter, kind, before, now);
      if (told === null) continue;
      const change = changes.get(told) ?? { kind: told, task: now };
      changes.set(told, change);
      mailbox.put(now.id, change);
    }
    return true;
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
