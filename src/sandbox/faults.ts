import type { Random } from './random.ts';

/** A way to go wrong. The kinds that end in `-row` or `-rows` spoil lists of tasks only. */
export type Fault =
  | { kind: 'latency'; ms: number }
  /** Answered as the service does, in JSON; with `body`, as a proxy before it does: in HTML, without a tracking id. */
  | { kind: 'status'; status: number; retryAfter?: string; body?: string }
  | { kind: 'drop' | 'truncate' | 'malformed' }
  | { kind: 'omit-row' | 'repeat-row' | 'reorder-rows' | 'malformed-row' | 'no-target-row' };

export const FAULT_KINDS = [
  'latency',
  'status',
  'drop',
  'truncate',
  'malformed',
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
    if (spoilt.length === 0) return spoilt;
    for (const { kind } of faults) {
      const at = this.#random.between(0, spoilt.length - 1);
      if (kind === 'omit-row') spoilt.splice(at, 1);
      if (kind === 'repeat-row') spoilt.splice(at, 0, spoilt[at]);
      if (kind === 'reorder-rows') spoilt.reverse();
      if (kind === 'no-target-row') spoilt[at] = { ...(spoilt[at] as object), target: null };
      if (kind === 'malformed-row') spoilt[at] = { ...(spoilt[at] as object), uniqueName: 42 };
      if (spoilt.length === 0) break;
    }
    return spoilt;
  }
}

type Required<T, K extends keyof T> = T & { [P in K]-?: T[P] };
