// An upper bound for the drift of two synchronised clocks. Readings are whole milliseconds.
const DRIFT = 0.001;
const ROUNDING_MS = 2;

/**
 * Detects when the wall clock of Redis is set, by comparing it with the monotonic clock here.
 *
 * Redis reads its clock between our request and its answer, so each reading gives a lower and an
 * upper bound for the difference of the two clocks. If the bounds of two readings do not overlap,
 * the clock was set. This holds however slow the answers are.
 */
export class ClockWatch {
  #least = -Infinity;
  #most = Infinity;
  #readAt = 0;

  /**
   * Milliseconds by which the clock of Redis was set: positive for forward, negative for back, 0 if
   * it was not set.
   */
  stepAt(redisNow: number, sentAt: number, answeredAt: number): number {
    const slackMs = (answeredAt - this.#readAt) * DRIFT + ROUNDING_MS;
    const [least, most] = [redisNow - answeredAt, redisNow + 1 - sentAt];
    const [knownLeast, knownMost] = [this.#least - slackMs, this.#most + slackMs];
    this.#readAt = answeredAt;
    const isStep = least > knownMost || most < knownLeast;
    this.#least = isStep ? least : Math.max(least, knownLeast);
    this.#most = isStep ? most : Math.min(most, knownMost);
    if (!isStep) return 0;
    return least > knownMost ? least - knownMost : most - knownLeast;
  }
}
