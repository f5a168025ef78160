import { RoundRobin } from './round-robin.ts';

/** Kinds of requests. Tokens go first, since every other request needs one. */
export type Lane = CallerLane | PollLane;
/**
 * A caller waits for the answer. Account aggregations have a lane of their own: each costs a
 * request, and an operation that selects many of them must not delay other reads.
 */
export type CallerLane = 'token' | 'interactive' | 'aggregation';
/**
 * Polls of tasks by id, of the heads of lists and of account aggregations. No caller waits for
 * their answers.
 */
export type PollLane = 'task-poll' | 'list-poll' | 'aggregation-poll';

/**
 * Waiting requests by lane. Lanes share slots by weight, callers within a lane take turns, and each
 * caller is first in, first out.
 */
export interface Lanes<W extends LaneWaiter> {
  add(waiter: W): void;
  delete(waiter: W): void;
  size(lane: Lane): number;
  /** How many requests of one caller wait in a lane. */
  waiting(lane: Lane, caller: string): number;
  /** How many requests of a lane are served before one that this caller would add now. */
  ahead(lane: Lane, caller: string): number;
  /** How many requests wait in all lanes. */
  readonly total: number;
  /** The next waiter, which stays in its lane; undefined if none waits. */
  next(): W | undefined;
  /** The waiters of a lane, in the order in which they are served. */
  of(lane: Lane): Iterable<W>;
  /** Records that no slot was free for the waiters at this moment, on the monotonic clock. */
  recordWait(at: number): void;
  /**
   * The share of slots, 0–1, that a lane gets beside the lanes that wait or have waited since then.
   */
  shareOf(lane: Lane, since: number): number;
}

export interface LaneWaiter {
  readonly lane: Lane;
  readonly caller: string;
}

/** How many slots each lane gets in turn if all of them wait. */
const LANE_WEIGHTS = {
  interactive: 8,
  aggregation: 1,
  'task-poll': 1,
  'list-poll': 1,
  'aggregation-poll': 1,
} as const;

type WeightedLane = keyof typeof LANE_WEIGHTS;
const WEIGHTED_LANES = Object.keys(LANE_WEIGHTS) as readonly WeightedLane[];
/** The lanes in which callers wait, and are refused where they cannot be answered in time. */
export const CALLER_LANES: readonly CallerLane[] = ['token', 'interactive', 'aggregation'];
export const LANES: readonly Lane[] = ['token', ...WEIGHTED_LANES];

/** Empty lanes. */
export function createLanes<W extends LaneWaiter>(): Lanes<W> {
  const waiters: Record<Lane, RoundRobin<W>> = {
    token: new RoundRobin(),
    interactive: new RoundRobin(),
    aggregation: new RoundRobin(),
    'task-poll': new RoundRobin(),
    'list-poll': new RoundRobin(),
    'aggregation-poll': new RoundRobin(),
  };
  // Smooth weighted round robin, as in nginx: in each turn, every waiting lane gains its weight,
  // and the lane that is served pays the sum. Lanes without waiters take no part, so their share
  // goes to the others and they return without credit or debt.
  const credit: Record<WeightedLane, number> = {
    interactive: 0,
    aggregation: 0,
    'task-poll': 0,
    'list-poll': 0,
    'aggregation-poll': 0,
  };

  const waitedAt = new Map<Lane, number>();

  return {
    add: waiter => waiters[waiter.lane].add(waiter.caller, waiter),
    delete: waiter => waiters[waiter.lane].delete(waiter.caller, waiter),
    size: lane => waiters[lane].size,
    waiting: (lane, caller) => waiters[lane].sizeOf(caller),
    ahead: (lane, caller) => waiters[lane].ahead(caller),
    get total() {
      return Object.values(waiters).reduce((count, { size }) => count + size, 0);
    },
    next() {
      if (waiters.token.size > 0) return waiters.token.next();
      const waiting = WEIGHTED_LANES.filter(lane => waiters[lane].size > 0);
      let served: WeightedLane | undefined;
      let earned = 0;
      for (const lane of waiting) {
        credit[lane] += LANE_WEIGHTS[lane];
        earned += LANE_WEIGHTS[lane];
        if (served === undefined || credit[lane] > credit[served]) served = lane;
      }
      if (served === undefined) return undefined;
      credit[served] -= earned;
      return waiters[served].next();
    },
    of: lane => waiters[lane],
    recordWait(at) {
      for (const lane of LANES) if (waiters[lane].size > 0) waitedAt.set(lane, at);
    },
    shareOf(lane, since) {
      if (lane === 'token') return 1;
      const isBusy = (other: Lane) =>
        waiters[other].size > 0 || (waitedAt.get(other) ?? -Infinity) > since;
      let weights = LANE_WEIGHTS[lane] as number;
      for (const other of WEIGHTED_LANES)
        if (other !== lane && isBusy(other)) weights += LANE_WEIGHTS[other];
      return LANE_WEIGHTS[lane] / weights;
    },
  };
}
