import fc from 'fast-check';
import { GatewayError } from '../../src/errors.ts';
import type { TaskSource } from '../../src/progress/source.ts';
import { type Task, isCompleted } from '../../src/task/task.ts';
import { readRow } from '../../src/upstream/wire.ts';
import { EPOCH, type HandClock } from './hand-clock.ts';

/** The states of a task, each with its start. The last state is its end. */
export interface History {
  id: string;
  states: { from: number; task: Task }[];
}

/** The outcome of one poll. A run repeats a list of these. */
export type Luck = 'well' | 'omits' | 'fails' | 'malformed';

export const anyHistory = (id: string): fc.Arbitrary<History> =>
  fc.array(fc.integer({ min: 1, max: 4_000 }), { minLength: 1, maxLength: 12 }).map(gaps => {
    let from = 0;
    const states = gaps.map((gap, place) => {
      const state = { from, task: stateOf(id, place, place === gaps.length - 1) };
      from += gap;
      return state;
    });
    return { id, states };
  });

/** A task that never completes. */
export function lastingHistory(id: string): History {
  return { id, states: [{ from: 0, task: stateOf(id, 0, false) }] };
}

function stateOf(id: string, step: number, isEnd: boolean): Task {
  const task = readRow({
    id,
    type: 'QUARTZ',
    uniqueName: 'n',
    created: EPOCH + Number(id) * 700,
    launched: 1,
    completed: isEnd ? 2 : null,
    completionStatus: isEnd ? 'SUCCESS' : null,
    percentComplete: Math.min(99, step),
    attributes: { step },
  }) as Task;
  return { ...task, etag: `${id} ${step}` };
}

/**
 * An upstream that follows the histories and has the given faults. It never fails a read of a first
 * state.
 */
export function createUpstream(
  clock: HandClock,
  histories: readonly History[],
  luck: readonly Luck[],
  latencyMs = 0,
): TaskSource {
  let polls = 0;
  const nowOf = ({ states }: History) =>
    states.findLast(({ from }) => from <= clock.monotonic())?.task ?? null;
  const find = (id: string) => histories.find(history => history.id === id);
  const read = (id: string) => {
    const history = find(id);
    return history ? nowOf(history) : null;
  };
  const there = () =>
    histories.map(nowOf).filter(task => task !== null && task.created <= clock.now()) as Task[];
  // The answer has the state at the time of the request, however long it takes.
  const late = <T>(answer: T) =>
    latencyMs === 0
      ? Promise.resolve(answer)
      : new Promise<T>(resolve => clock.after(latencyMs, () => resolve(answer)));
  const newestFirst = () => there().toSorted((a, b) => b.created - a.created);
  const readHead = () => late({ rows: newestFirst(), asOf: clock.now() });
  return {
    load: id => late(read(id)),
    async poll(ids) {
      const outcome = luck[scattered(++polls) % luck.length] ?? 'well';
      if (outcome === 'fails') throw new GatewayError('UPSTREAM_UNAVAILABLE', 'out of luck');
      const rows = new Map<string, Task | GatewayError>();
      for (const [place, id] of ids.entries()) {
        const task = read(id);
        if (task === null || (outcome === 'omits' && place % 2 === 0)) continue;
        rows.set(
          id,
          outcome === 'malformed' && place % 2 === 0
            ? new GatewayError('UPSTREAM_INVALID_RESPONSE', 'x')
            : task,
        );
      }
      return late(rows);
    },
    confirm: id => late(read(id)),
    running: () => late(there().filter(task => !isCompleted(task))),
    readHead,
    pollHeads: requests => requests.map(readHead),
    async *snapshot() {
      yield await late(newestFirst());
    },
    pressure: () => 0,
  };
}

/**
 * Which faults a run has. Half of the time there must be none, or a run might never publish
 * anything.
 */
export const anyLuck = fc
  .array(fc.constantFrom<Luck[]>('well', 'well', 'omits', 'fails', 'malformed'), {
    minLength: 1,
    maxLength: 5,
  })
  .filter(list => 2 * list.filter(outcome => outcome === 'well').length >= list.length);

/**
 * Maps each number to another, as if drawn at random. In a fixed order the outcomes could keep step
 * with the polls: a task polled only every fifth time might then always fail.
 */
function scattered(count: number): number {
  const mixed = Math.imul(count ^ (count >>> 16), 0x85ebca6b);
  const more = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (more ^ (more >>> 16)) >>> 0;
}
