import { AGGREGATION_MUTATIONS, type AggregationMutation } from './aggregation-mutations.ts';
import type { Random } from './random.ts';
import { ROW_MUTATIONS, type RowMutation } from './row-mutations.ts';

/**
 * A fault that the sandbox can simulate. The kinds that end in `-row` or `-rows` change lists of
 * tasks only.
 */
export type Fault =
  | { kind: 'latency'; ms: number }
  /**
   * An error answer: JSON as the service sends it; with `body`, HTML without a tracking id as a
   * proxy sends it.
   */
  | { kind: 'status'; status: number; retryAfter?: string; body?: string }
  | { kind: 'drop' | 'truncate' | 'malformed' }
  /** Leaves out the total count, or replaces it with `text`. */
  | { kind: 'no-count'; text?: string }
  /**
   * Mutates rows so that they break the specification: those with these ids, all, or by default one
   * at random.
   */
  | { kind: 'row'; mutation: RowMutation; ids?: readonly string[]; all?: boolean }
  /** Mutates the status of an account aggregation so that it breaks the specification. */
  | { kind: 'aggregation'; mutation: AggregationMutation }
  | { kind: 'omit-row' | 'repeat-row' | 'reorder-rows' | 'malformed-row' | 'no-target-row' };

export const FAULT_KINDS = [
  'latency',
  'status',
  'drop',
  'truncate',
  'malformed',
  'no-count',
  'row',
  'aggregation',
  'omit-row',
  'repeat-row',
  'reorder-rows',
  'malformed-row',
  'no-target-row',
] as const satisfies readonly Fault['kind'][];

export const ROUTES = ['token', 'list', 'pending', 'task', 'patch', 'aggregation'] as const;
export type Route = (typeof ROUTES)[number];

/**
 * A fault, and which requests it affects: those of a route (by default all but the token endpoint),
 * a share of them (0–1), and how many times.
 */
export interface FaultOrder {
  fault: Fault;
  route?: Route;
  rate?: number;
  times?: number;
}

/** The ordered faults. Each request draws those that affect it. */
export class Faults {
  readonly #random: Random;
  #orders: Required<FaultOrder, 'rate' | 'times'>[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  order(order: FaultOrder): void {
    this.#orders.push({ rate: 1, times: Infinity, ...order });
  }

  clear(): void {
    this.#orders = [];
  }

  /** Returns the faults that affect one request, and counts it. */
  draw(route: Route): Fault[] {
    const drawn = this.#orders.filter(
      order =>
        (order.route === undefined ? route !== 'token' : order.route === route) &&
        (order.rate >= 1 || this.#random.chance(order.rate)),
    );
    for (const order of drawn) order.times--;
    this.#orders = this.#orders.filter(order => order.times > 0);
    return drawn.map(order => order.fault);
  }

  /** Applies the faults to the status of an account aggregation. */
  applyToAggregation(status: unknown, faults: readonly Fault[]): unknown {
    let changed = status as Record<string, unknown>;
    for (const fault of faults)
      if (fault.kind === 'aggregation')
        changed = AGGREGATION_MUTATIONS[fault.mutation](changed) as Record<string, unknown>;
    return changed;
  }

  /** Applies the faults to the rows of a list. Returns a new list. */
  applyTo(rows: unknown[], faults: readonly Fault[]): unknown[] {
    const changed = [...rows];
    for (const fault of faults) {
      if (changed.length === 0) break;
      const { kind } = fault;
      const at = this.#random.between(0, changed.length - 1);
      if (fault.kind === 'row') mutateRows(changed, fault, at);
      if (kind === 'omit-row') changed.splice(at, 1);
      if (kind === 'repeat-row') changed.splice(at, 0, changed[at]);
      if (kind === 'reorder-rows') changed.reverse();
      if (kind === 'no-target-row') changed[at] = { ...(changed[at] as object), target: null };
      if (kind === 'malformed-row') changed[at] = { ...(changed[at] as object), created: 'never' };
    }
    return changed;
  }
}

function mutateRows(
  rows: unknown[],
  { mutation, ids, all }: Extract<Fault, { kind: 'row' }>,
  chosen: number,
): void {
  for (const [place, row] of (rows as Record<string, unknown>[]).entries()) {
    const isSelected =
      ids === undefined ? all || place === chosen : ids.includes(String(row['id']));
    if (isSelected) rows[place] = ROW_MUTATIONS[mutation](row);
  }
}

type Required<T, K extends keyof T> = T & { [P in K]-?: T[P] };
