import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { changeOf } from '../task/change.ts';
import { type Task, isCompleted } from '../task/task.ts';
import { Mailbox } from './mailbox.ts';
import type { TaskSource } from './source.ts';

export interface TaskWatchParts {
  source: Pick<TaskSource, 'load'>;
  clock: Clock;
  /** Milliseconds for which what was told last is told to whoever joins; while it is so young, looks are frequent. */
  youngForMs: number;
  /** Somebody waits for the state now: `establish` is to be called. */
  onWanted(): void;
  onEmpty(): void;
}

/** One task, and all who follow it. */
export class TaskWatch {
  readonly id: string;
  readonly #parts: TaskWatchParts;
  readonly #followers = new Set<Mailbox<Task>>();
  /** Followers that wait for the state now. */
  readonly #waiting = new Set<Mailbox<Task>>();
  #seen: Task | null = null;
  #youngUntil = -Infinity;
  #toldCount = 0;

  constructor(id: string, parts: TaskWatchParts) {
    this.id = id;
    this.#parts = parts;
  }

  /** Whether somebody still waits for what comes. */
  get isFollowed(): boolean {
    return this.#followers.size > 0;
  }

  /** The state that followers were told last; null before the first. */
  get seen(): Task | null {
    return this.#seen;
  }

  follow(): Mailbox<Task> {
    const { clock, onWanted, onEmpty } = this.#parts;
    const mailbox = new Mailbox<Task>(() => {
      this.#waiting.delete(mailbox);
      if (this.#followers.delete(mailbox) && this.#followers.size === 0) onEmpty();
    });
    this.#followers.add(mailbox);
    if (this.#seen !== null && clock.monotonic() < this.#youngUntil) {
      mailbox.put(this.id, this.#seen);
      return mailbox;
    }
    this.#waiting.add(mailbox);
    if (this.#waiting.size === 1) onWanted();
    return mailbox;
  }

  /** Reads the state now, for those who wait for it. */
  async establish(): Promise<void> {
    const toldBefore = this.#toldCount;
    const task = await this.#parts.source.load(this.id);
    // Told of meanwhile by a look, which may be younger.
    if (this.#toldCount !== toldBefore) return;
    if (task) this.tell(task);
    else this.fail(new GatewayError('NOT_FOUND', 'Upstream has no such task.'));
  }

  tell(task: Task): void {
    this.#toldCount++;
    this.#youngUntil = this.#parts.clock.monotonic() + this.#parts.youngForMs;
    const hasChanged = changeOf(this.#seen, task) !== null;
    // The same object for all who are told the same: what is made of it is made once.
    const seen = hasChanged || this.#seen === null ? task : this.#seen;
    this.#seen = seen;
    for (const follower of hasChanged ? this.#followers : this.#waiting) {
      follower.put(this.id, seen);
      if (isCompleted(seen)) follower.end();
    }
    this.#waiting.clear();
  }

  /** The state now could not be read. */
  refuse(error: GatewayError): void {
    for (const follower of this.#waiting) follower.end(error);
  }

  gone(): void {
    this.fail(new GatewayError('NOT_FOUND', 'The task is gone: upstream no longer has it.'));
  }

  fail(error: GatewayError): void {
    for (const follower of this.#followers) follower.end(error);
  }
}
