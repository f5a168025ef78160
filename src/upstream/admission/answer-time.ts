/**
 * Estimates how long upstream takes to answer, as TCP estimates round trips (RFC 6298): a moving
 * mean plus four times the moving deviation, which nearly all answers stay below.
 */
export class AnswerTime {
  #meanMs: number | null = null;
  #deviationMs = 0;

  /** Records the duration of an attempt, from its slot to its last byte. */
  add(ms: number): void {
    if (this.#meanMs === null) {
      this.#meanMs = ms;
      this.#deviationMs = ms / 2;
      return;
    }
    this.#deviationMs += (Math.abs(ms - this.#meanMs) - this.#deviationMs) / 4;
    this.#meanMs += (ms - this.#meanMs) / 8;
  }

  /** Milliseconds that nearly every answer stays below; 0 before the first. */
  get upperBoundMs(): number {
    return (this.#meanMs ?? 0) + 4 * this.#deviationMs;
  }
}
