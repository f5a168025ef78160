import type { Clock } from '../../clock.ts';
import type { BudgetLimits, BudgetWindow } from '../../fleet/fleet.ts';
import { type Budget, createBudget } from './budget.ts';

/** The budgets in use, one for each client that upstream counts. */
export interface Budgets {
  /** The budget of a client; it may be kept for as long as its holder likes. */
  of(clientId: string): Budget;
  readonly size: number;
  close(): void;
}

// An idle budget is as good as a new one: above this many, the idle ones are dropped.
const SWEEP_OVER = 1_000;

export function createBudgets(
  openWindow: (clientId: string) => BudgetWindow,
  limits: BudgetLimits,
  clock: Clock,
): Budgets {
  const kept = new Map<string, Budget>();

  return {
    of: clientId => ({
      // Looked up each time: the budget may have been dropped and opened again since.
      acquire: request => find(clientId).acquire(request),
      tryOut: request => find(clientId).tryOut(request),
      answered: tookMs => find(clientId).answered(tookMs),
      pause: forMs => find(clientId).pause(forMs),
      pressure: () => find(clientId).pressure(),
      isIdle: () => find(clientId).isIdle(),
      close() {},
    }),
    get size() {
      return kept.size;
    },
    close() {
      for (const budget of kept.values()) budget.close();
    },
  };

  function find(clientId: string): Budget {
    const known = kept.get(clientId);
    if (known) return known;
    if (kept.size >= SWEEP_OVER)
      for (const [id, budget] of kept) if (budget.isIdle()) forget(id, budget);
    const budget = createBudget(openWindow(clientId), limits, clock);
    kept.set(clientId, budget);
    return budget;
  }

  function forget(clientId: string, budget: Budget): void {
    budget.close();
    kept.delete(clientId);
  }
}
