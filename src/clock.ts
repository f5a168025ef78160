/** Time, and what waits for it: a part that is given one can be tested with its clock held. */
export interface Clock {
  /** Milliseconds since the epoch, as people date things. */
  now(): number;
  /** Milliseconds since some start. Never set back: what measures a duration asks this one. */
  monotonic(): number;
  /** Runs `run` once, `delayMs` from now, unless the function it returns is called before. */
  after(delayMs: number, run: () => void): () => void;
}

// A longer delay overflows the timer, which then runs at once.
const MAX_DELAY_MS = 2 ** 31 - 1;

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    let timer = wait(delayMs);
    return () => clearTimeout(timer);

    function wait(leftMs: number): NodeJS.Timeout {
      const next = leftMs > MAX_DELAY_MS ? () => (timer = wait(leftMs - MAX_DELAY_MS)) : run;
      return setTimeout(next, Math.min(leftMs, MAX_DELAY_MS));
    }
  },
};
