import type { Random } from './random.ts';
import { ROW_MUTATIONS, type RowMutation } from './row-mutations.ts';

/** A way to go wrong. The kinds that end in `-row` or `-rows` spoil lists of tasks only. */
export type Fault =
  | { kind: 'latency'; ms: number }
  /** Answered as the service does, in JSON; with `body`, as a proxy before it does: in HTML, without a tracking id. */
  | { kind: 'status'; status: number; retryAfter?: string; body?: string }
  | { kind: 'drop' | 'truncate' | 'malformed' }
  /** The total: left out, or replaced by this text. */
  | { kind: 'no-count'; text?: string }
  /** Rows that are not as specified: those of these ids, or all, or by default one at random. */
  | { kind: 'row'; mutation: RowMutation; ids?: readonly string[]; all?: boolean }
  | { kind: 'omit-row' | 'repeat-row' | 'reorder-rows' | 'malformed-row' | 'no-target-row' };

export const FAULT_KINDS = [
  'latency',
  'status',
  'drop',
  'truncate',
  'malformed',
  'no-count',
  'row',
  'omit-row',
  'repeat-row',
  'reorder-rows',
  'malformed-row',
  'no-target-row',
] as const satisfies readonly Fault['kind'][];

export const ROUTES = ['token', 'list', 'pending', 'task', 'patch'] as const;
export type Route = (typeof ROUTES)[number];

/**
 * When a fault strikes: on which route (every one but the token endpoint, if none is named), in
 * which share (0–1) of the requests, how many times.
 */
export interface FaultOrder {
  fault: Fault;
  route?: Route;
  rate?: number;
  times?: number;
}

/** The faults that were ordered, drawn from as requests come in. */
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

  /** The faults of one request. */
  draw(route: Route): Fault[] {
    const struck = this.#orders.filter(
      order =>
        (order.route === undefined ? route !== 'token' : order.route === route) &&
        (order.rate >= 1 || this.#random.chance(order.rate)),
    );
    for (const order of struck) order.times--;
    this.#orders = this.#orders.filter(order => order.times > 0);
    return struck.map(order => order.fault);
  }

  /** The rows of a list, spoilt as the faults say. */
  spoil(rows: unknown[], faults: readonly Fault[]): unknown[] {
    const spoilt = [...rows];
    for (const fault of faults) {
      if (spoilt.length === 0) break;
      const { kind } = fault;
      const at = this.#random.between(0, spoilt.length - 1);
      if (fault.kind === 'row') mutateRows(spoilt, fault, at);
      if (kind === 'omit-row') spoilt.splice(at, 1);
      if (kind === 'repeat-row') spoilt.splice(at, 0, spoilt[at]);
      if (kind === 'reorder-rows') spoilt.reverse();
      if (kind === 'no-target-row') spoilt[at] = { ...(spoilt[at] as object), target: null };
      if (kind === 'malformed-row') spoilt[at] = { ...(spoilt[at] as object), created: 'never' };
    }
    return spoilt;
  }
}

function mutateRows(
  rows: unknown[],
  { mutation, ids, all }: Extract<Fault, { kind: 'row' }>,
  chosen: number,
): void {
  for (const [place, row] of (rows as Record<string, unknown>[]).entries()) {
    const isMeant = ids === undefined ? all || place === chosen : ids.includes(String(row['id']));
    if (isMeant) rows[place] = ROW_MUTATIONS[mutation](row);
  }
}

type Required<T, K extends keyof T> = T & { [P in K]-?: T[P] };
