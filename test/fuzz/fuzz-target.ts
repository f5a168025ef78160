import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Random } from '../../src/sandbox/random.ts';

/** What a target is opened with: what it starts is closed by the functions given to `after`. */
export type Lifetime = Pick<TestContext, 'after'>;

/** A part of the gateway that takes input from outside. */
export interface FuzzTarget {
  name: string;
  /** The share of all inputs that it is given. */
  share: number;
  open(lifetime: Lifetime): Promise<OpenTarget> | OpenTarget;
}

export interface OpenTarget {
  /** Tries some inputs and gives their number. Throws where one breaks a promise. */
  run(random: Random): Promise<number> | number;
  /** Throws unless a healthy input is served, or anything unexpected was logged. */
  checkHealth?(): Promise<void>;
}

/** What came of a run of a target. */
export interface FuzzReport {
  inputs: number;
  seconds: number;
  /**
   * Between a quarter of the inputs and the last, after a full collection; null without
   * `--expose-gc`.
   */
  heapGrowthMb: number | null;
}

const STALL_MS = 30_000;
const HEALTH_EVERY = 500;

/** Tries `inputs` inputs that follow from the seed; throws with the seed of the run that failed. */
export async function fuzz(
  lifetime: Lifetime,
  target: FuzzTarget,
  { seed, inputs }: { seed: number; inputs: number },
): Promise<FuzzReport> {
  const { run, checkHealth } = await target.open(lifetime);
  const startedAt = performance.now();
  let tried = 0;
  let checkedAt = 0;
  let heapAtQuarter: number | null = null;
  for (let runSeed = seed; tried < inputs; runSeed++) {
    try {
      tried += await inTime(run(new Random(runSeed)));
      if (tried - checkedAt >= HEALTH_EVERY || tried >= inputs) {
        checkedAt = tried;
        // What was collected is cleared away by tasks of the event loop.
        await setImmediate();
        await inTime(checkHealth?.());
      }
    } catch (error) {
      throw new Error(`${target.name}, seed ${runSeed}: ${String(error)}`, { cause: error });
    }
    if (heapAtQuarter === null && tried >= inputs / 4) heapAtQuarter = heapMb();
  }
  const heapAtEnd = heapMb();
  return {
    inputs: tried,
    seconds: (performance.now() - startedAt) / 1000,
    heapGrowthMb: heapAtEnd === null ? null : heapAtEnd - (heapAtQuarter ?? 0),
  };
}

/**
 * Does `work` so many times at once, each with random numbers of its own, and gives the inputs of
 * all.
 */
export async function severally(
  random: Random,
  times: number,
  work: (random: Random) => Promise<number>,
): Promise<number> {
  const seeds = Array.from({ length: times }, () => random.between(0, 2 ** 32 - 1));
  const inputs = await Promise.all(seeds.map(seed => work(new Random(seed))));
  return inputs.reduce((sum, count) => sum + count, 0);
}

/**
 * Asserts that these are errors of a GraphQL answer, each with a code that is no bug of the
 * gateway.
 */
export function assertCoded(errors: unknown, context: unknown): void {
  assert.ok(Array.isArray(errors) && errors.length > 0, `no errors: ${JSON.stringify(context)}`);
  for (const error of errors) {
    const code = error?.extensions?.code;
    assert.ok(typeof code === 'string', `no code: ${JSON.stringify([context, error])}`);
    assert.notEqual(code, 'INTERNAL_SERVER_ERROR', JSON.stringify(context));
    assert.equal(error.extensions.http, undefined, JSON.stringify(context));
  }
}

async function inTime<T>(work: T | Promise<T>): Promise<T> {
  if (!(work instanceof Promise)) return work;
  let timer: NodeJS.Timeout | undefined;
  const stalled = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`it hangs for ${STALL_MS} ms`)), STALL_MS);
  });
  return Promise.race([work, stalled]).finally(() => clearTimeout(timer));
}

function heapMb(): number | null {
  if (globalThis.gc === undefined) return null;
  globalThis.gc();
  return process.memoryUsage().heapUsed / 1_048_576;
}
