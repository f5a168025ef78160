import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ClockWatch } from '../../src/fleet/clock-watch.ts';

/**
 * A reading of the other clock: the delay before it, and how long the request and the answer take.
 */
const anyReading = fc.record({
  afterMs: fc.integer({ min: 0, max: 20_000 }),
  requestMs: fc.integer({ min: 0, max: 1_000 }),
  answerMs: fc.integer({ min: 0, max: 1_000 }),
});
const anyReadings = fc.array(anyReading, { minLength: 1, maxLength: 30 });
// A synchronised clock gains or loses at most half a millisecond per second.
const anyDrift = fc.double({ min: -0.0005, max: 0.0005, noNaN: true });

function read(
  watch: ClockWatch,
  readings: readonly (typeof anyReading extends fc.Arbitrary<infer R> ? R : never)[],
  { drift, stepMs = 0, from = 0 }: { drift: number; stepMs?: number; from?: number },
): { steps: number[]; now: number } {
  let now = from;
  const steps = readings.map(({ afterMs, requestMs, answerMs }) => {
    const sentAt = now + afterMs;
    const redisNow = Math.floor(1e12 + (sentAt + requestMs) * (1 + drift) + stepMs);
    now = sentAt + requestMs + answerMs;
    return watch.stepAt(redisNow, sentAt, now);
  });
  return { steps, now };
}

test('slow answers and clock drift are not taken for a clock that was set', () => {
  fc.assert(
    fc.property(anyReadings, anyDrift, (readings, drift) => {
      const { steps } = read(new ClockWatch(), readings, { drift });
      assert.deepEqual([...new Set(steps)], [0]);
    }),
  );
});

test('a clock step is detected at the next answer that is faster than the step', () => {
  fc.assert(
    fc.property(
      anyReadings,
      anyDrift,
      anyReading,
      fc.integer({ min: -100_000, max: 100_000 }),
      (readings, drift, next, stepMs) => {
        const watch = new ClockWatch();
        const { now } = read(watch, readings, { drift });
        const { steps } = read(watch, [next], { drift, stepMs, from: now });
        const last = readings.at(-1)!;
        const unsureMs =
          last.requestMs +
          last.answerMs +
          next.requestMs +
          next.answerMs +
          0.002 * (next.afterMs + next.requestMs + next.answerMs) +
          5;
        if (Math.abs(stepMs) > unsureMs) assert.equal(Math.sign(steps[0]!), Math.sign(stepMs));
        // It is reported once.
        const after = read(watch, readings, { drift, stepMs, from: now + 100_000 });
        if (steps[0] !== 0) assert.deepEqual([...new Set(after.steps)], [0]);
      },
    ),
  );
});
