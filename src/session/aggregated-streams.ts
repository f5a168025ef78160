import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import { toFailure, toGatewayError } from '../progress/failure.ts';
import type { Mailbox } from '../progress/mailbox.ts';
import { type AggregationReading, isFinalAggregation } from '../task/account-aggregation.ts';
import type { ListEvent, TaskChange } from '../task/change.ts';
import {
  type Task,
  isAccountAggregation,
  isAggregationGone,
  isCompleted,
  keepProgress,
} from '../task/task.ts';
import type { Aggregations } from './aggregations.ts';
import type { ReadOptions } from './loader.ts';
import { SharedRequest } from './shared-request.ts';

/** What is known of one subscriber's stream. */
interface StreamState {
  /** The running tasks as it has sent them. */
  sent: Map<string, Task>;
  /** Until when it waits for the aggregations of tasks that have ended, on the monotonic clock. */
  readsEndsUntil: number;
  read: ReadOptions & { signal: AbortSignal };
}

/** An event of a stream that shows a task. */
type TaskEvent = Task | TaskChange;

/** Streams of tasks whose events carry account aggregations. */
export interface AggregatedStreams {
  /** The stream's events, each with the aggregation of its task, or why that could not be read. */
  attach<E extends Task | ListEvent>(
    stream: Mailbox<E>,
    options: Pick<ReadOptions, 'caller'>,
  ): AsyncIterableIterator<E | GatewayError>;
}

export interface AggregatedStreamsParts {
  aggregations: Pick<Aggregations, 'load' | 'known'>;
  clock: Clock;
  log: Log;
}

// The end of a task is news that must not wait for long. What was read last is shown if there is no
// later answer. Where many tasks of a stream end at once, they share that time.
const END_WAIT_MS = 2_000;
const ENDS_APART_MS = 10_000;

/**
 * Polls read the aggregations that streams select, but not before the first event and not after the
 * last: these two are read here. Subscribers that get the same event share the read and the result.
 */
export function createAggregatedStreams(parts: AggregatedStreamsParts): AggregatedStreams {
  const { aggregations, clock, log } = parts;
  /** The last event that was made of each event, so that subscribers get the same object. */
  const made = new WeakMap<TaskEvent, { reading: AggregationReading; event: TaskEvent }>();
  const readsOfEnds = new Map<string, SharedRequest<AggregationReading>>();

  return {
    attach<E extends Task | ListEvent>(
      stream: Mailbox<E>,
      { caller }: Pick<ReadOptions, 'caller'>,
    ) {
      const leaving = new AbortController();
      const state: StreamState = {
        sent: new Map(),
        readsEndsUntil: -Infinity,
        read: { caller, signal: leaving.signal },
      };
      return {
        async next() {
          for (;;) {
            const result = await stream.next();
            if (result.done || result.value instanceof GatewayError) return result;
            if (!showsTask(result.value)) return result;
            const event = await withReading(result.value, state);
            if (leaving.signal.aborted) return { done: true, value: undefined };
            if (event !== null) return { done: false, value: event };
          }
        },
        return() {
          leaving.abort();
          return stream.return();
        },
        [Symbol.asyncIterator]() {
          return this;
        },
      };
    },
  };

  /** The event with the aggregation of its task; null if the stream has sent the same before. */
  async function withReading<E extends TaskEvent>(event: E, state: StreamState): Promise<E | null> {
    const task = taskOf(event);
    if (!isAccountAggregation(task)) return event;
    const before = state.sent.get(task.id) ?? null;
    if (before === null && 'kind' in event && event.isFirstReading) return null;
    const reading = await readingFor(task, before, state);
    if (before !== null && isSame(event, before, reading)) return null;
    const attached = attachTo(event, reading);
    const now = keepProgress(before, taskOf(attached));
    if (isCompleted(now)) state.sent.delete(task.id);
    else state.sent.set(task.id, now);
    return now === taskOf(attached) ? attached : withTask(attached, now);
  }

  async function readingFor(
    task: Task,
    before: Task | null,
    state: StreamState,
  ): Promise<AggregationReading> {
    if (isAggregationGone(task, clock.now())) return { aggregation: null };
    const known = task.aggregation ?? valueOf(before?.aggregation);
    if (!isCompleted(task)) return known ?? read(task, state.read);
    if (isFinal(known)) return known;
    return known === undefined ? endOf(task, state.read) : endInTime(task, known, state);
  }

  /**
   * The aggregation of a task that has ended, or what was read while it ran if there is no answer
   * in time.
   */
  async function endInTime(
    task: Task,
    known: AggregationReading,
    state: StreamState,
  ): Promise<AggregationReading> {
    const now = clock.monotonic();
    if (now > state.readsEndsUntil + ENDS_APART_MS) state.readsEndsUntil = now + END_WAIT_MS;
    if (now >= state.readsEndsUntil) return known;
    const late = new AbortController();
    const cancel = clock.after(state.readsEndsUntil - now, () => late.abort());
    const signal = AbortSignal.any([late.signal, state.read.signal]);
    const reading = await endOf(task, { ...state.read, signal });
    cancel();
    return late.signal.aborted ? known : (valueOf(reading) ?? known);
  }

  /** The aggregation of a task that has ended, by a request that all streams share. */
  async function endOf(task: Task, { caller, signal }: ReadOptions): Promise<AggregationReading> {
    const kept = aggregations.known(task.id);
    // What was read before the end is no answer, unless it is the end.
    if (kept && isFinalAggregation(kept)) return { aggregation: kept };
    const underWay = readsOfEnds.get(task.id);
    const request =
      underWay && !underWay.isAbandoned
        ? underWay
        : new SharedRequest(async allLeft =>
            read(task, { caller, signal: allLeft, isFresh: true }).finally(() => {
              if (readsOfEnds.get(task.id) === request) readsOfEnds.delete(task.id);
            }),
          );
    readsOfEnds.set(task.id, request);
    return request.join(signal).catch(toReading);
  }

  async function read(task: Task, options: ReadOptions): Promise<AggregationReading> {
    try {
      return { aggregation: await aggregations.load(task, options) };
    } catch (error) {
      return toReading(error);
    }
  }

  function toReading(error: unknown): AggregationReading {
    // The subscriber has left, and gets no event.
    if (error instanceof DOMException) return { aggregation: null };
    return { failure: toFailure(toGatewayError(error, log)) };
  }

  function attachTo<E extends TaskEvent>(event: E, reading: AggregationReading): E {
    const task = taskOf(event);
    if (task.aggregation === reading) return event;
    const known = made.get(event);
    if (known && isDeepStrictEqual(known.reading, reading)) return known.event as E;
    const attached = withTask(event, { ...task, aggregation: reading });
    made.set(event, { reading, event: attached });
    return attached;
  }
}

function showsTask<E extends Task | ListEvent>(event: E): event is E & TaskEvent {
  return !('kind' in event) || event.task !== null;
}

function taskOf(event: TaskEvent): Task {
  return 'kind' in event ? event.task : event;
}

function withTask<E extends TaskEvent>(event: E, task: Task): E {
  return ('kind' in event ? { ...event, task } : task) as E;
}

/**
 * Whether a subscriber that was sent this task and gets this event with this reading would see no
 * change.
 */
function isSame(event: TaskEvent, before: Task, reading: AggregationReading): boolean {
  if ('kind' in event && event.kind !== 'UPDATED') return false;
  const { etag } = taskOf(event);
  return etag !== '' && etag === before.etag && isDeepStrictEqual(before.aggregation, reading);
}

function isFinal(reading: AggregationReading | undefined): reading is AggregationReading {
  const aggregation = reading && 'aggregation' in reading ? reading.aggregation : null;
  return aggregation !== null && isFinalAggregation(aggregation);
}

/** The reading, unless it is a failure. */
function valueOf(reading: AggregationReading | undefined): AggregationReading | undefined {
  return reading && 'aggregation' in reading ? reading : undefined;
}
