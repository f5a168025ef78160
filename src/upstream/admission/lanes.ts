import { Turns } from './turns.ts';

/** Who waits for a slot. A token is fetched ahead of everything, since everything needs one. */
export type Lane = CallerLane | PollLane;
/**
 * A caller waits for the answer. Account aggregations have a lane of their own: each costs a request, and an
 * operation that selects many of them must not delay other reads.
 */
export type CallerLane = 'token' | 'interactive' | 'aggregation';
/**
 * Polls of tasks by id, of the heads of lists and of account aggregations: nobody has asked for their answer
 * at this moment.
 */
export type PollLane = 'task-poll' | 'list-poll' | 'aggregation-poll';

/** Waiters by lane. Lanes take turns by weight; within one, callers take turns; each is served in order of arrival. */
export interface Lanes<W extends LaneWaiter> {
  add(waiter: W): void;
  delete(waiter: W): void;
  size(lane: Lane): number;
  /** How many wait in a lane for one caller. */
  waiting(lane: Lane, caller: string): number;
  /** How many are served in a lane before one that this caller adds now. */
  ahead(lane: Lane, caller: string): number;
  /** How many wait in all lanes together. */
  readonly total: number;
  /** The waiter whose turn it is, who stays in its lane; undefined where nobody waits. */
  next(): W | undefined;
  /** The waiters of a lane, in the order in which they will be served. */
  of(lane: Lane): Iterable<W>;
  /** At this moment, there is no slot for those who wait. */
  noteWait(at: number): void;
  /** The part of the slots, 0–1, that a lane gets beside those that wait, or had to wait since then. */
  shareOf(lane: Lane, since: number): number;
}

export interface LaneWaiter {
  readonly lane: Lane;
  readonly caller: string;
}

/** The slots that each of these gets in turn while all of them wait. */
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

export function createLanes<W extends LaneWaiter>(): Lanes<W> {
  const waiters: Record<Lane, Turns<W>> = {
    token: new Turns(),
    interactive: new Turns(),
    aggregation: new Turns(),
    'task-poll': new Turns(),
    'list-poll': new Turns(),
    'aggregation-poll': new Turns(),
  };
  // Smooth weighted round robin, as nginx balances: whoever waits earns its weight each turn, and who
  // is served pays what all have earned. Lanes without waiters neither earn nor pay, so that their
  // share goes to the others and they come back with no debt to collect.
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
    noteWait(at) {
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
