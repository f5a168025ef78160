/** The time and timers. Code that takes a Clock can be tested with one that the test controls. */
export interface Clock {
  /** Wall-clock milliseconds since the epoch. The clock may be set back. */
  now(): number;
  /** Milliseconds since an arbitrary start. Never goes back, so use it to measure durations. */
  monotonic(): number;
  /** Runs `run` once, after `delayMs` milliseconds. The returned function cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

/** A moment on both clocks. */
export interface Moment {
  now: number;
  monotonic: number;
}

export function momentOf(clock: Clock): Moment {
  return { now: clock.now(), monotonic: clock.monotonic() };
}

// setTimeout fires at once if the delay is longer than this.
const MAX_DELAY_MS = 2 ** 31 - 1;

/** The machine's clock. Handles delays of any length. */
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
