import type { Clock } from '../../clock.ts';
import type { BudgetLimits, BudgetWindow } from '../../fleet/fleet.ts';
import { type Budget, createBudget } from './budget.ts';

/** The budgets in use, one for each client_id, because upstream counts requests by client_id. */
export interface Budgets {
  /** The budget of a client. It may be held for any length of time. */
  of(clientId: string): Budget;
  readonly size: number;
  close(): void;
}

// Above this number, idle budgets are dropped. An idle budget is equivalent to a new one.
const SWEEP_OVER = 1_000;

/** Opens a window for each client on first use. */
export function createBudgets(
  openWindow: (clientId: string) => BudgetWindow,
  limits: BudgetLimits,
  clock: Clock,
): Budgets {
  const kept = new Map<string, Budget>();

  return {
    of: clientId => ({
      // Look it up each time: the budget may have been dropped and opened again since.
      acquire: request => find(clientId).acquire(request),
      acquireTrial: request => find(clientId).acquireTrial(request),
      recordAnswerTime: ms => find(clientId).recordAnswerTime(ms),
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
      for (const [id, budget] of kept) if (budget.isIdle()) drop(id, budget);
    const budget = createBudget(openWindow(clientId), limits, clock);
    kept.set(clientId, budget);
    return budget;
  }

  function drop(clientId: string, budget: Budget): void {
    budget.close();
    kept.delete(clientId);
  }
}
