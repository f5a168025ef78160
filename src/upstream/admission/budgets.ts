import type { Clock } from '../../clock.ts';
import type { BudgetLimits, BudgetWindow } from '../../fleet/fleet.ts';
import { type Budget, type BudgetLoad, createBudget } from './budget.ts';
import { LANES, type Lane } from './lanes.ts';

/** The budgets in use, one for each client_id, because upstream counts requests by client_id. */
export interface Budgets {
  /** The budget of a client. It may be held for any length of time. */
  of(clientId: string): Budget;
  readonly size: number;
  /** Of the fullest budget what is spent, of all what waits, and the longest pause. */
  load(): BudgetLoad;
  close(): void;
}

// Above this number, idle budgets are dropped. An idle budget is equivalent to a new one.
const SWEEP_OVER = 1_000;

/** Opens a window for each client on first use. */
export function createBudgets(
  openWindow: (clientId: string) => BudgetWindow,
  limits: BudgetLimits,
  clock: Clock,
  onPause: (forMs: number) => void = () => {},
): Budgets {
  const kept = new Map<string, Budget>();

  return {
    of: clientId => ({
      // Look it up each time: the budget may have been dropped and opened again since.
      acquire: request => find(clientId).acquire(request),
      acquireTrial: request => find(clientId).acquireTrial(request),
      recordAnswerTime: ms => find(clientId).recordAnswerTime(ms),
      pause(forMs) {
        find(clientId).pause(forMs);
        onPause(forMs);
      },
      load: () => find(clientId).load(),
      pressure: () => find(clientId).pressure(),
      isIdle: () => find(clientId).isIdle(),
      close() {},
    }),
    get size() {
      return kept.size;
    },
    load() {
      const waiting = Object.fromEntries(LANES.map(lane => [lane, 0])) as Record<Lane, number>;
      const sum = { used: 0, waiting, pausedForMs: 0 };
      for (const budget of kept.values()) {
        const load = budget.load();
        sum.used = Math.max(sum.used, load.used);
        sum.pausedForMs = Math.max(sum.pausedForMs, load.pausedForMs);
        for (const lane of LANES) waiting[lane] += load.waiting[lane];
      }
      return sum;
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
