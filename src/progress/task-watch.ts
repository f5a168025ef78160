import { GatewayError } from '../errors.ts';
import { changeOf } from '../task/change.ts';
import { type Task, isCompleted } from '../task/task.ts';
import { Mailbox } from './mailbox.ts';
import type { TaskSource } from './source.ts';

/** One task, and all who follow it. */
export class TaskWatch {
  readonly id: string;
  readonly #onEmpty: () => void;
  readonly #followers = new Set<Mailbox<Task>>();
  #seen: Task | null = null;

  constructor(id: string, onEmpty: () => void) {
    this.id = id;
    this.#onEmpty = onEmpty;
  }

  /** Whether somebody still waits for what comes. */
  get isFollowed(): boolean {
    return this.#followers.size > 0;
  }

  follow(): Mailbox<Task> {
    const mailbox = new Mailbox<Task>(() => {
      if (this.#followers.delete(mailbox) && this.#followers.size === 0) this.#onEmpty();
    });
    this.#followers.add(mailbox);
    if (this.#seen) mailbox.put(this.id, this.#seen);
    return mailbox;
  }

  async establish(source: Pick<TaskSource, 'load'>): Promise<void> {
    const task = await source.load(this.id);
    // Told of meanwhile by a look for others: that may be younger.
    if (this.#seen !== null) return;
    if (task) this.tell(task);
    else this.fail(new GatewayError('NOT_FOUND', 'Upstream has no such task.'));
  }

  tell(task: Task): void {
    if (changeOf(this.#seen, task) === null) return;
    this.#seen = task;
    for (const follower of this.#followers) {
      follower.put(this.id, task);
      if (isCompleted(task)) follower.end();
    }
  }

  gone(): void {
    this.fail(new GatewayError('NOT_FOUND', 'The task is gone: upstream no longer has it.'));
  }

  fail(error: GatewayError): void {
    for (const follower of this.#followers) follower.end(error);
  }
}
