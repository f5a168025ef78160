import type { Random } from './random.ts';

/** How a task deviates from the specification. Live tenants were seen to send all of these. */
export interface Oddity {
  /**
   * What upstream writes first when the task ends. `undated`: it writes the status only, never a
   * date.
   */
  ending: 'date-first' | 'status-first' | 'undated';
  /** Whether the status is an empty string instead of null between the end date and the status. */
  blankStatus: boolean;
  /** `mixed`: as in `Success`, which older services send. */
  statusCase: 'upper' | 'mixed';
  percentForm: 'number' | 'text' | 'null';
  /** `load-accounts`: the field names of the endpoint that starts aggregations. */
  wording: 'specified' | 'load-accounts';
}

/** A task that follows the specification. */
export const NO_ODDITY: Oddity = {
  ending: 'date-first',
  blankStatus: false,
  statusCase: 'upper',
  percentForm: 'number',
  wording: 'specified',
};

/** Draws the oddities of a new task. */
export function drawOddity(random: Random): Oddity {
  return {
    ending: oneIn(random, 0.06, ['status-first', 'undated']) ?? 'date-first',
    blankStatus: random.chance(0.3),
    statusCase: random.chance(0.1) ? 'mixed' : 'upper',
    percentForm: oneIn(random, 0.04, ['text', 'null']) ?? 'number',
    wording: random.chance(0.04) ? 'load-accounts' : 'specified',
  };
}

function oneIn<T>(random: Random, share: number, choices: readonly T[]): T | null {
  const choice = random.pick(choices);
  return random.chance(share) ? choice : null;
}
