/** Time, and what waits for it: a part that is given one can be tested with its clock held. */
export interface Clock {
  /** Milliseconds since the epoch, as people date things. */
  now(): number;
  /** Milliseconds since some start. Never set back: what measures a duration asks this one. */
  monotonic(): number;
  /** Runs `run` once, `delayMs` from now, unless the function it returns is called before. */
  after(delayMs: number, run: () => void): () => void;
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};
