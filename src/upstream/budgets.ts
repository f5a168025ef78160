import type { Clock } from '../clock.ts';
import type { BudgetLimits, BudgetWindow } from '../fleet/fleet.ts';
import { type Budget, createBudget } from './budget.ts';

/** The budgets there are, one for each client that upstream counts. */
export interface Budgets {
  of(clientId: string): Budget;
  readonly size: number;
  close(): void;
}

// Longer than any session lives unused, so that no two budgets of a client are ever in use.
const IDLE_MS = 60 * 60_000;

export function createBudgets(
  openWindow: (clientId: string) => BudgetWindow,
  limits: BudgetLimits,
  clock: Clock,
): Budgets {
  const kept = new Map<string, { budget: Budget; usedAt: number }>();

  return {
    of(clientId) {
      const now = clock.monotonic();
      for (const [id, { usedAt }] of kept) if (now - usedAt > IDLE_MS) kept.delete(id);
      const entry = kept.get(clientId) ?? { budget: open(clientId), usedAt: now };
      kept.set(clientId, entry);
      return entry.budget;
    },
    get size() {
      return kept.size;
    },
    close() {
      for (const { budget } of kept.values()) budget.close();
    },
  };

  function open(clientId: string): Budget {
    const budget = createBudget(openWindow(clientId), limits, clock);
    return {
      ...budget,
      acquire(wish) {
        const entry = kept.get(clientId);
        if (entry) entry.usedAt = clock.monotonic();
        return budget.acquire(wish);
      },
    };
  }
}
