import { GatewayError } from '../errors.ts';
import { changeOf } from '../task/change.ts';
import { type Task, isCompleted } from '../task/task.ts';
import type { Cadence } from './cadence.ts';
import { Mailbox } from './mailbox.ts';
import type { TaskSource } from './source.ts';

/** One task, and all who follow it. */
export class TaskWatch {
  readonly id: string;
  readonly cadence: Cadence;
  readonly #onEmpty: () => void;
  readonly #followers = new Set<Mailbox<Task>>();
  #seen: Task | null = null;

  constructor(id: string, cadence: Cadence, onEmpty: () => void) {
    this.id = id;
    this.cadence = cadence;
    this.#onEmpty = onEmpty;
  }

  /** Whether its first state is known, so that looks may go on from there. */
  get isEstablished(): boolean {
    return this.#seen !== null;
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
    if (task) this.tell(task);
    else this.fail(new GatewayError('NOT_FOUND', 'Upstream has no such task.'));
  }

  /** What a look saw; nothing where it saw nothing. */
  async look(
    row: Task | GatewayError | undefined,
    source: Pick<TaskSource, 'confirm'>,
  ): Promise<void> {
    const now = row ?? (await source.confirm(this.id));
    if (now === null)
      this.fail(new GatewayError('NOT_FOUND', 'The task is gone: upstream no longer has it.'));
    // A row that cannot be read now may be readable at the next look.
    else this.cadence.looked(!(now instanceof GatewayError) && this.tell(now));
  }

  /** Whether a follower can see a difference. */
  tell(task: Task): boolean {
    if (changeOf(this.#seen, task) === null) return false;
    this.#seen = task;
    for (const follower of this.#followers) {
      follower.put(this.id, task);
      if (isCompleted(task)) follower.end();
    }
    return true;
  }

  fail(error: GatewayError): void {
    for (const follower of this.#followers) follower.end(error);
  }
}
