import { setTimeout as wait } from 'node:timers/promises';

/** Resolves once the condition holds; a test that never gets there fails by its own time limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await wait(2);
}
