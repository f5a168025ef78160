/**
 * How long an answer takes, as TCP estimates a round trip (RFC 6298): a moving mean, and four times
 * the moving deviation on top, so that nearly all answers take less.
 */
export class AnswerTime {
  #meanMs: number | null = null;
  #deviationMs = 0;

  /** An attempt took this long, from its slot to its last byte. */
  add(ms: number): void {
    if (this.#meanMs === null) {
      this.#meanMs = ms;
      this.#deviationMs = ms / 2;
      return;
    }
    this.#deviationMs += (Math.abs(ms - this.#meanMs) - this.#deviationMs) / 4;
    this.#meanMs += (ms - this.#meanMs) / 8;
  }

  /** Milliseconds within which nearly every answer comes; 0 as long as there was none. */
  get mostMs(): number {
    return (this.#meanMs ?? 0) + 4 * this.#deviationMs;
  }
}
