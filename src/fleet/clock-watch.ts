// Two clocks drift apart by this share, more than a disciplined one may; and readings are whole milliseconds.
const DRIFT = 0.001;
const ROUNDING_MS = 2;

/**
 * Compares the wall clock of Redis with the monotonic clock here, to notice that it was set.
 *
 * Each reading bounds the difference between the two: Redis read its clock after it was asked and before
 * it had answered. Bounds of different readings that have no difference in common mean a step, however
 * slow the answers are.
 */
export class ClockWatch {
  #least = -Infinity;
  #most = Infinity;
  #readAt = 0;

  /** The milliseconds that the clock of Redis was set forward, or back if negative; 0 if it was not. */
  stepAt(redisNow: number, askedAt: number, answeredAt: number): number {
    const slackMs = (answeredAt - this.#readAt) * DRIFT + ROUNDING_MS;
    const [least, most] = [redisNow - answeredAt, redisNow + 1 - askedAt];
    const [knownLeast, knownMost] = [this.#least - slackMs, this.#most + slackMs];
    this.#readAt = answeredAt;
    const isStep = least > knownMost || most < knownLeast;
    this.#least = isStep ? least : Math.max(least, knownLeast);
    this.#most = isStep ? most : Math.min(most, knownMost);
    if (!isStep) return 0;
    return least > knownMost ? least - knownMost : most - knownLeast;
  }
}
