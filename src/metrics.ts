import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { countLater, observeLater } from './deferred-metrics.ts';
import { registerProcessFigures } from './process-figures.ts';

/**
 * What happened, as the parts report it. Every label has few values: none is a name, an id or a
 * text of a caller.
 */
export interface Recorders {
  /** An operation ended. `outcome` is OK or the code of its first error. */
  operationEnded(operation: {
    type: string;
    transport: string;
    outcome: string;
    tookMs: number;
  }): void;
  streamBegan(transport: string): void;
  streamEnded(transport: string): void;
  eventSent(transport: string): void;
  /** A subscriber took a polled state so long after upstream's answer was complete. */
  eventDelivered(ageMs: number): void;
  /**
   * An attempt at upstream ended; `status` is that of the answer, or the reason why there was none.
   */
  attempted(attempt: {
    endpoint: string;
    lane: string;
    status: string | number;
    tookMs: number;
  }): void;
  waited(lane: string, waitedMs: number): void;
  refused(lane: string): void;
  budgetPaused(): void;
  breakerChanged(isOpen: boolean): void;
  batchSent(tasks: number): void;
  memoryAsked(kind: 'task' | 'list' | 'aggregation' | 'response', isHit: boolean): void;
  polled(kind: 'tasks' | 'list', isFailure: boolean, tookMs: number): void;
}

/** What is read when the metrics are. */
export interface Readings {
  /**
   * Of the client whose budget is most spent, 0–1; how many requests wait, by lane; the longest
   * pause left.
   */
  budgets(): { used: number; waiting: Readonly<Record<string, number>>; pausedForMs: number };
  memory(): { entries: number; bytes: number };
  sessions(): { count: number; taskWatches: number; listWatches: number; subscribers: number };
  /** Null where no Redis is configured. */
  redis(): { isConnected: boolean; instances: number; leases: number } | null;
  /** Null where the gateway has no client of its own, or has not asked for a token yet. */
  hasToken(): boolean | null;
  drift(): readonly { field: string; found: string; count: number }[];
}

/** Figures for Prometheus. */
export interface Metrics extends Recorders {
  /** Reads these whenever the metrics are asked for. */
  attach(readings: Readings): void;
  /** All of them, in Prometheus' text format. */
  render(): Promise<string>;
  readonly contentType: string;
  close(): void;
}

const PREFIX = 'task_status_gateway_';
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const BATCH_SIZES = [1, 2, 5, 10, 25, 50, 100, 150, 200, 250];

/**
 * Metrics that are all zero. With `process`, also those of the Node process, of which there is one.
 */
export function createMetrics({ process = false } = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const counter = <T extends string>(name: string, help: string, ...labelNames: T[]) =>
    new Counter({ name: PREFIX + name, help, labelNames, registers });
  const gauge = <T extends string>(name: string, help: string, ...labelNames: T[]) =>
    new Gauge({ name: PREFIX + name, help, labelNames, registers });
  const histogram = <T extends string>(name: string, help: string, ...labelNames: T[]) =>
    new Histogram({ name: PREFIX + name, help, labelNames, registers, buckets: SECONDS });

  const operations = counter(
    'operations_total',
    'Operations that ended, by OK or the code of their first error.',
    'type',
    'transport',
    'outcome',
  );
  const operationSeconds = histogram(
    'operation_duration_seconds',
    'Time from the request to the result, of queries and mutations.',
    'type',
  );
  const streams = gauge('streams', 'Subscriptions that are open.', 'transport');
  const events = counter('events_total', 'Events sent to subscribers.', 'transport');
  const eventAge = histogram(
    'event_age_seconds',
    'Time from the answer of a poll to its delivery to a subscriber.',
  );
  const upstreamRequests = counter(
    'upstream_requests_total',
    'Attempts at upstream, by the status of the answer or the reason why there was none.',
    'endpoint',
    'status',
    'lane',
  );
  const upstreamSeconds = histogram(
    'upstream_request_duration_seconds',
    'Time of an attempt at upstream, without its wait for the budget.',
    'endpoint',
  );
  const waits = histogram('budget_wait_seconds', 'Time that requests waited for a slot.', 'lane');
  const refusals = counter(
    'budget_refusals_total',
    'Requests refused because no slot would have come in time.',
    'lane',
  );
  const pauses = counter('budget_pauses_total', 'Times that upstream asked for a pause (429).');
  const breakerChanges = counter(
    'breaker_changes_total',
    'Times that a circuit breaker opened or closed.',
    'to',
  );
  const batchTasks = new Histogram({
    name: `${PREFIX}batch_tasks`,
    help: 'Tasks that a batch reads by id.',
    buckets: BATCH_SIZES,
    registers,
  });
  const memoryLookups = counter(
    'memory_lookups_total',
    'Reads that looked into the memory first.',
    'kind',
    'result',
  );
  const polls = counter('polls_total', 'Polls of watched tasks and lists.', 'kind', 'outcome');
  const pollSeconds = histogram('poll_duration_seconds', 'Time of a poll.', 'kind');
  // Prometheus sees the first change of a series only if the series was there before.
  for (const to of ['open', 'closed']) breakerChanges.inc({ to }, 0);
  for (const kind of ['tasks', 'list'])
    for (const outcome of ['ok', 'failed']) polls.inc({ kind, outcome }, 0);

  const used = gauge(
    'budget_used_ratio',
    'Part of the budget that is spent, of the fullest client.',
  );
  const waiting = gauge('budget_waiting', 'Requests that wait for a slot.', 'lane');
  const paused = gauge('budget_paused_seconds', 'Time left of the longest pause.');
  const memoryEntries = gauge('memory_entries', 'Answers that the memory holds.');
  const memoryBytes = gauge('memory_bytes', 'About what they take.');
  const sessions = gauge('sessions', 'Credentials with a session.');
  const watches = gauge('watches', 'What is watched upstream.', 'kind');
  const subscribers = gauge('subscribers', 'Subscribers of all watches.');
  const tokenValid = gauge(
    'token_valid',
    '1 while the gateway has a token of its own, 0 while upstream grants none.',
  );
  const redisConnected = gauge('redis_connected', '1 while Redis is connected, 0 while not.');
  const redisInstances = gauge('redis_instances', 'Instances that share the Redis.');
  const leases = gauge('leases_held', 'Leases to poll for all instances that this one holds.');
  const drift = counter(
    'drift_total',
    'Fields of rows that differ from the specification.',
    'field',
    'found',
  );
  const closeProcessFigures = process ? registerProcessFigures(registry) : () => {};
  const countOperation = countLater(operations, ['type', 'transport', 'outcome']);
  const operationTimes = observeLater(operationSeconds, 'type');
  const countEvent = countLater(events, ['transport']);
  const countLookup = countLater(memoryLookups, ['kind', 'result']);
  let readings: Readings | null = null;
  let rendering: Promise<string> | null = null;

  return {
    operationEnded({ type, transport, outcome, tookMs }) {
      countOperation.add(type, transport, outcome);
      if (type !== 'subscription') operationTimes.observe(type, tookMs / 1000);
    },
    streamBegan: transport => streams.inc({ transport }),
    streamEnded: transport => streams.dec({ transport }),
    eventSent: transport => countEvent.add(transport),
    eventDelivered: ageMs => eventAge.observe(ageMs / 1000),
    attempted({ endpoint, lane, status, tookMs }) {
      upstreamRequests.inc({ endpoint, status: String(status), lane });
      upstreamSeconds.observe({ endpoint }, tookMs / 1000);
    },
    waited: (lane, waitedMs) => waits.observe({ lane }, waitedMs / 1000),
    refused: lane => refusals.inc({ lane }),
    budgetPaused: () => pauses.inc(),
    breakerChanged: isOpen => breakerChanges.inc({ to: isOpen ? 'open' : 'closed' }),
    batchSent: tasks => batchTasks.observe(tasks),
    memoryAsked: (kind, isHit) => countLookup.add(kind, isHit ? 'hit' : 'miss'),
    polled(kind, isFailure, tookMs) {
      polls.inc({ kind, outcome: isFailure ? 'failed' : 'ok' });
      pollSeconds.observe({ kind }, tookMs / 1000);
    },
    attach: attached => void (readings = attached),
    render() {
      // Requests that arrive during the collection get the same result.
      rendering ??= renderAll().finally(() => (rendering = null));
      return rendering;
    },
    contentType: registry.contentType,
    close: closeProcessFigures,
  };

  async function renderAll(): Promise<string> {
    for (const { flush } of [countOperation, operationTimes, countEvent, countLookup]) flush();
    if (readings !== null) takeReadings(readings);
    return registry.metrics();
  }

  function takeReadings(from: Readings): void {
    const budgets = from.budgets();
    used.set(budgets.used);
    for (const [lane, count] of Object.entries(budgets.waiting)) {
      waiting.set({ lane }, count);
      refusals.inc({ lane }, 0);
    }
    paused.set(budgets.pausedForMs / 1000);
    const { entries, bytes } = from.memory();
    memoryEntries.set(entries);
    memoryBytes.set(bytes);
    const watching = from.sessions();
    sessions.set(watching.count);
    watches.set({ kind: 'task' }, watching.taskWatches);
    watches.set({ kind: 'list' }, watching.listWatches);
    subscribers.set(watching.subscribers);
    const redis = from.redis();
    if (redis === null)
      for (const metric of [redisConnected, redisInstances, leases]) metric.remove();
    else {
      redisConnected.set(redis.isConnected ? 1 : 0);
      redisInstances.set(redis.instances);
      leases.set(redis.leases);
    }
    const hasToken = from.hasToken();
    if (hasToken === null) tokenValid.remove();
    else tokenValid.set(hasToken ? 1 : 0);
    drift.reset();
    for (const { field, found, count } of from.drift()) drift.inc({ field, found }, count);
  }
}
