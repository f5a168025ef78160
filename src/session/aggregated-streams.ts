import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { Log } from '../log.ts';
import { toFailure, toGatewayError } from '../progress/failure.ts';
import type { Mailbox } from '../progress/mailbox.ts';
import { type AggregationReading, isFinalAggregation } from '../task/account-aggregation.ts';
import type { TaskChange } from '../task/change.ts';
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

/** An event of a stream of tasks. */
type TaskEvent = Task | TaskChange;

/** Streams of tasks whose events carry account aggregations. */
export interface AggregatedStreams {
  /** The stream's events, each with the aggregation of its task, or why that could not be read. */
  attach<E extends TaskEvent>(
    stream: Mailbox<E>,
    options: Pick<ReadOptions, 'caller'>,
  ): AsyncIterableIterator<E | GatewayError>;
}

export interface AggregatedStreamsParts {
  aggregations: Pick<Aggregations, 'load'>;
  clock: Clock;
  log: Log;
}

// The end of a task is news that must not wait for long. What was read last is shown if there is no later answer.
const END_WAIT_MS = 2_000;

/**
 * Polls read the aggregations that streams select, but not before the first event and not after the last:
 * these two are read here. Subscribers that get the same event share the read and the result.
 */
export function createAggregatedStreams(parts: AggregatedStreamsParts): AggregatedStreams {
  const { aggregations, clock, log } = parts;
  /** The last event that was made of each event, so that subscribers get the same object. */
  const made = new WeakMap<TaskEvent, { reading: AggregationReading; event: TaskEvent }>();
  const readsOfEnds = new Map<string, SharedRequest<AggregationReading>>();

  return {
    attach<E extends TaskEvent>(stream: Mailbox<E>, options: Pick<ReadOptions, 'caller'>) {
      /** The running tasks as this stream has sent them. */
      const sent = new Map<string, Task>();
      const leaving = new AbortController();
      return {
        async next() {
          for (;;) {
            const result = await stream.next();
            if (result.done || result.value instanceof GatewayError) return result;
            const event = await withReading(result.value, sent, {
              ...options,
              signal: leaving.signal,
            });
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
  async function withReading<E extends TaskEvent>(
    event: E,
    sent: Map<string, Task>,
    options: ReadOptions,
  ): Promise<E | null> {
    const task = taskOf(event);
    if (!isAccountAggregation(task)) return event;
    const before = sent.get(task.id) ?? null;
    const reading = await readingFor(task, before, options);
    if (before !== null && isSame(event, before, reading)) return null;
    const attached = attachTo(event, reading);
    const now = keepProgress(before, taskOf(attached));
    if (isCompleted(now)) sent.delete(task.id);
    else sent.set(task.id, now);
    return now === taskOf(attached) ? attached : withTask(attached, now);
  }

  async function readingFor(
    task: Task,
    before: Task | null,
    options: ReadOptions,
  ): Promise<AggregationReading> {
    if (isAggregationGone(task, clock.now())) return { aggregation: null };
    const known = task.aggregation ?? valueOf(before?.aggregation);
    if (!isCompleted(task)) return known ?? read(task, options);
    return isFinal(known) ? known : readEnd(task, known, options);
  }

  /** The aggregation of a task that has ended. `known` is what was read while it ran. */
  async function readEnd(
    task: Task,
    known: AggregationReading | undefined,
    { signal, caller }: ReadOptions,
  ): Promise<AggregationReading> {
    const underWay = readsOfEnds.get(task.id);
    if (underWay && !underWay.isAbandoned) return joined(underWay);
    const started = new SharedRequest<AggregationReading>(async allLeft => {
      const late = new AbortController();
      const cancel =
        known === undefined ? () => {} : clock.after(END_WAIT_MS, () => late.abort(allRead()));
      const all = AbortSignal.any([allLeft, late.signal]);
      // What was read before the end is no answer, unless it is the end.
      const kept = await read(task, { caller, signal: all });
      const reading = isFinal(kept)
        ? kept
        : await read(task, { caller, signal: all, isFresh: true });
      cancel();
      if (readsOfEnds.get(task.id) === started) readsOfEnds.delete(task.id);
      return valueOf(reading) ?? known ?? reading;
    });
    readsOfEnds.set(task.id, started);
    return joined(started);

    async function joined(request: SharedRequest<AggregationReading>): Promise<AggregationReading> {
      return request.join(signal).catch((error: unknown) => toReading(error));
    }
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

function taskOf(event: TaskEvent): Task {
  return 'kind' in event ? event.task : event;
}

function withTask<E extends TaskEvent>(event: E, task: Task): E {
  return ('kind' in event ? { ...event, task } : task) as E;
}

/** Whether a subscriber that was sent this task and gets this event with this reading would see no change. */
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

/** Why the read of an end is given up. */
function allRead(): GatewayError {
  return new GatewayError('UPSTREAM_TIMEOUT', 'Upstream gave no answer in time for the end.');
}
