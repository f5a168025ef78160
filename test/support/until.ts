import { setTimeout as wait } from 'node:timers/promises';

/** Resolves once the condition holds. If it never does, the test fails by its timeout. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await wait(2);
}
