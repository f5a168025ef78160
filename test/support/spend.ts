import { setTimeout as wait } from 'node:timers/promises';
import type { BudgetWindow } from '../../src/fleet/fleet.ts';

/** Takes a slot, waiting as long as necessary. */
export async function take(window: BudgetWindow) {
  for (;;) {
    const taken = await window.take();
    if ('slot' in taken) return taken.slot;
    await wait(taken.retryInMs);
  }
}

/** Takes slots as fast as possible until stopped. Returns when upstream counted each request. */
export async function spend(
  window: BudgetWindow,
  isOver: () => boolean,
  countedAt: number[],
): Promise<void> {
  while (!isOver()) {
    const slot = await take(window);
    await wait(Math.random() * 20);
    if (!slot.isValid()) {
      slot.cancel();
      continue;
    }
    countedAt.push(performance.now());
    await wait(Math.random() * 20);
    slot.settle();
  }
}

/** The highest number of these times within any `windowMs`. */
export function worstOf(countedAt: number[], windowMs: number): number {
  const sorted = countedAt.toSorted((a, b) => a - b);
  return Math.max(
    ...sorted.map(
      (at, place) => sorted.slice(0, place + 1).filter(earlier => earlier > at - windowMs).length,
    ),
  );
}
