import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../clock.ts';
import type { GatewayError } from '../errors.ts';
import type { Lease } from '../fleet/fleet.ts';
import type { Log } from '../log.ts';
import type { AccountAggregation, AggregationReading } from '../task/account-aggregation.ts';
import type { OperationUsage } from '../usage.ts';
import { CALM_PRESSURE, Cadence, MAX_QUIET_INTERVALS } from './cadence.ts';
import { MAX_SILENCE_MS, allLeft, toFailure, toGatewayError } from './failure.ts';
import { type PollResult, tracePoll } from './poll-trace.ts';
import { type PollTracing, createPoller } from './poller.ts';

/** Reads account aggregations from upstream, which answers for one at a time. */
export interface AggregationSource {
  /** Null where upstream has none. Waits for budget behind readers instead of failing. */
  poll(
    taskId: string,
    signal: AbortSignal,
    usage: OperationUsage,
  ): Promise<AccountAggregation | null>;
  /** The part of the request budget that is spent, 0–1. */
  pressure(): number;
}

/**
 * A message between the gateway instances that poll aggregations with the same credential. Survives
 * JSON.
 */
export type AggregationMessage =
  /**
   * The sender's subscribers do not know the states of these aggregations. The next polls publish
   * them.
   */
  | { kind: 'subscribed'; taskIds: readonly string[] }
  | { kind: 'read'; taskId: string; reading: AggregationReading };

/**
 * Polls the watched aggregations of all instances of the group while this instance holds the lease.
 */
export interface AggregationPoller {
  /** An instance of the group needs the states of these aggregations. */
  onSubscribed(taskIds: readonly string[]): void;
  /** This instance now holds the lease; another polled before. */
  takeOver(): void;
  close(): void;
}

export interface AggregationPollerParts extends PollTracing {
  source: AggregationSource;
  /** The right to poll for the group; null while this instance watches none. */
  lease(): Lease | null;
  /** The ids that at least one instance of the group watches. */
  watchedIds(): Promise<ReadonlySet<string>>;
  publish(message: AggregationMessage): void;
  clock: Clock;
  log: Log;
  intervalMs: number;
}

interface PolledAggregation {
  cadence: Cadence;
  /** What every subscriber of the group has been sent; null if some have not. */
  published: AggregationReading | null;
  /** Not polled before this moment, on the monotonic clock. */
  pausedUntil: number;
  /** When polls of it began to fail, on the same clock; null while they do not. */
  failingSince: number | null;
}

// So many are enough to use what upstream allows, and few enough to stop as soon as it becomes
// scarce.
const MAX_AT_ONCE = 10;
// A credential that may not read aggregations will hardly be allowed to soon.
const FORBIDDEN_PAUSE_MS = 60_000;

/**
 * A poller that is idle until an aggregation is subscribed to while this instance holds the lease.
 *
 * Each aggregation costs a request, so many of them could spend the whole budget. They are polled
 * at the cadence of tasks while less than half of the budget is spent. When more is spent, one at a
 * time is polled, at most one in each interval, the one due longest first: readers and polls of
 * tasks come first, and every aggregation still has its turn.
 */
export function createAggregationPoller(parts: AggregationPollerParts): AggregationPoller {
  const { source, lease, clock, log, intervalMs, tracer } = parts;
  const poller = createPoller({ clock, poll });
  const polled = new Map<string, PolledAggregation>();
  const inFlight = new Map<string, AbortController>();
  let nextGatherAt = -Infinity;

  return {
    onSubscribed(taskIds) {
      if (!lease()?.isHeld) return;
      for (const id of taskIds) {
        const entry = polled.get(id);
        if (entry) entry.published = null;
        else begin(id);
      }
      poller.startIn(intervalMs);
    },
    takeOver() {
      polled.clear();
      nextGatherAt = -Infinity;
      poller.startIn(0);
    },
    close() {
      poller.close();
      polled.clear();
      abortUnwatched();
    },
  };

  async function poll(): Promise<number | null> {
    await gather().catch((error: unknown) => void toGatewayError(error, log));
    if (polled.size === 0) return null;
    const due = [...polled]
      .filter(([id, entry]) => !inFlight.has(id) && isDue(entry))
      .toSorted(([, one], [, other]) => dueAtOf(one) - dueAtOf(other));
    const room = (isScarce() ? 1 : MAX_AT_ONCE) - inFlight.size;
    for (const [id, entry] of due.slice(0, Math.max(0, room)))
      void tracePoll(tracer, 'poll aggregation', {}, usage => read(id, entry, usage));
    return nextInMs();
  }

  /** Milliseconds until the next poll, unless a read ends before. */
  function nextInMs(): number {
    const idle = [...polled].filter(([id]) => !inFlight.has(id)).map(([, entry]) => entry);
    // What is due and has no room waits for a read to end, or for the budget.
    if (idle.some(isDue)) return inFlight.size > 0 || isScarce() ? intervalMs : 0;
    const nextAt = idle.reduce((earliest, entry) => Math.min(earliest, dueAtOf(entry)), Infinity);
    return Math.min(nextAt - clock.monotonic(), MAX_QUIET_INTERVALS * intervalMs);
  }

  /** Includes what is nearly due, as polls of tasks do. */
  function isDue(entry: PolledAggregation): boolean {
    return dueAtOf(entry) <= clock.monotonic() + intervalMs / 2;
  }

  /** Never rejects. */
  async function read(
    id: string,
    entry: PolledAggregation,
    usage: OperationUsage,
  ): Promise<PollResult> {
    const controller = new AbortController();
    inFlight.set(id, controller);
    let reading: AggregationReading | null = null;
    let failureCode: string | null = null;
    try {
      reading = { aggregation: await source.poll(id, controller.signal, usage) };
      entry.failingSince = null;
    } catch (error) {
      if (!controller.signal.aborted) {
        const failure = toGatewayError(error, log);
        failureCode = failure.code;
        reading = failureOf(entry, failure);
      }
    }
    inFlight.delete(id);
    const hasChanged = reading !== null && !isDeepStrictEqual(reading, entry.published);
    entry.cadence.polled(hasChanged);
    // The entry was replaced or the lease lost during the read, so another may have published a
    // later state.
    if (hasChanged && reading !== null && polled.get(id) === entry && lease()?.isHeld) {
      entry.published = reading;
      parts.publish({ kind: 'read', taskId: id, reading });
    }
    if (polled.size > 0) poller.startIn(nextInMs());
    return { changed: hasChanged ? 1 : 0, failureCode };
  }

  /** The failure to publish; null while it is expected to pass. */
  function failureOf(entry: PolledAggregation, error: GatewayError): AggregationReading | null {
    const now = clock.monotonic();
    entry.failingSince ??= now;
    const isForbidden = error.code === 'FORBIDDEN';
    if (isForbidden) entry.pausedUntil = now + FORBIDDEN_PAUSE_MS;
    if (!isForbidden && now - entry.failingSince < MAX_SILENCE_MS) return null;
    log.warn({ code: error.code }, 'polls of an account aggregation fail');
    return { failure: toFailure(error) };
  }

  /** Updates the aggregations to poll to those that any instance of the group watches. */
  async function gather(): Promise<void> {
    if (!lease()?.isHeld) {
      polled.clear();
      abortUnwatched();
      return;
    }
    if (clock.monotonic() < nextGatherAt) return;
    nextGatherAt = clock.monotonic() + intervalMs;
    const watched = await parts.watchedIds();
    for (const id of polled.keys()) if (!watched.has(id)) polled.delete(id);
    for (const id of watched) if (!polled.has(id)) begin(id, 0);
    abortUnwatched();
  }

  function begin(id: string, firstInMs?: number): void {
    const pressure = () => source.pressure();
    const cadence = new Cadence({ clock, intervalMs, firstInMs, pressure });
    polled.set(id, { cadence, published: null, pausedUntil: -Infinity, failingSince: null });
  }

  function abortUnwatched(): void {
    for (const [id, controller] of inFlight) if (!polled.has(id)) controller.abort(allLeft());
  }

  function isScarce(): boolean {
    return source.pressure() > CALM_PRESSURE;
  }
}

function dueAtOf({ cadence, pausedUntil }: PolledAggregation): number {
  return Math.max(cadence.dueAt, pausedUntil);
}
