/** A stream or socket that is written to periodically, so that it stays open. */
export interface Beating {
  beat(): void;
}

// Members that were added at one moment would otherwise all be written to at one moment.
const TICKS = 12;

/**
 * Calls `beat` of each member once in an interval, with one timer for all. The first time comes up
 * to a twelfth of the interval early.
 */
export class Heartbeats {
  readonly #tickMs: number;
  /** The members by the tick at which they beat. */
  readonly #due: readonly Set<Beating>[] = Array.from({ length: TICKS }, () => new Set<Beating>());
  #tick = 0;
  #size = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(intervalMs: number) {
    this.#tickMs = intervalMs / TICKS;
  }

  add(member: Beating): void {
    // The tick that was last, so that its turn comes again after a whole interval.
    this.#due[this.#tick]?.add(member);
    this.#size++;
    this.#timer ??= setInterval(() => this.#beat(), this.#tickMs);
  }

  /** Does nothing for one that was deleted before. */
  delete(member: Beating): void {
    for (const due of this.#due)
      if (due.delete(member)) {
        this.#size--;
        break;
      }
    if (this.#size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #beat(): void {
    this.#tick = (this.#tick + 1) % TICKS;
    for (const member of this.#due[this.#tick] ?? []) member.beat();
  }
}
