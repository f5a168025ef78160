import type { Random } from './random.ts';

/** In which ways a task differs from the specification, as tasks of live tenants were seen to. */
export interface Oddity {
  /** What is written first at its end; `undated`: the status only, and never a date. */
  ending: 'date-first' | 'status-first' | 'undated';
  /** Whether the status is an empty text, and not null, between the date and the status. */
  blankStatus: boolean;
  /** `mixed`: `Success`, as older services write it. */
  statusCase: 'upper' | 'mixed';
  percentForm: 'number' | 'text' | 'null';
  /** `load-accounts`: the words of the endpoint that starts aggregations, for the same task. */
  wording: 'specified' | 'load-accounts';
}

/** As the specification has it. */
export const NO_ODDITY: Oddity = {
  ending: 'date-first',
  blankStatus: false,
  statusCase: 'upper',
  percentForm: 'number',
  wording: 'specified',
};

/** What is odd about the next task. */
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
