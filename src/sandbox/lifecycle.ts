import { NO_ODDITY, type Oddity } from './oddity.ts';
import type { Random } from './random.ts';

/**
 * The whole life of a task, decided when it is created. Its state at any time depends only on that
 * time.
 */
export interface Lifecycle extends Oddity {
  id: string;
  kind: TaskKind;
  type: string;
  launcher: string;
  target: TaskTarget | null;
  createdAt: number;
  /** Infinity for a task that only ends when a test ends it. */
  launchedAt: number;
  completedAt: number;
  /** When the status is set: a moment after `completedAt`, or before it, as seen upstream. */
  statusAt: number;
  status: string;
  /** The number of progress reports while the task runs. */
  steps: number;
  reportsPercent: boolean;
  keepsZeroPercent: boolean;
  totals: Record<string, number>;
  message: TaskMessage | null;
  dateStyle: DateStyle;
  hasDefinition: boolean;
}

export interface TaskMessage {
  type: string;
  key: string;
  localized: boolean;
}

/** Values to use instead of drawn ones. */
export type LifecycleOptions = Partial<
  Omit<Lifecycle, 'id' | 'kind' | 'launchedAt' | 'completedAt' | 'statusAt'>
> & {
  /** The definition type by which filters select it, such as CLOUD_GROUP_AGGREGATION. */
  definitionType?: string;
  queueMs?: number;
  runMs?: number;
  statusLagMs?: number;
};

/** Date formats that upstream was seen to use. */
export type DateStyle = 'z' | 'offset' | 'basic-offset' | 'space' | 'epoch';

export interface TaskKind {
  definitionType: string;
  uniqueName: string;
  description: string;
  serviceMethod: string;
  counters: readonly string[];
  phases: readonly string[];
}

const AGGREGATION_PHASES = [
  'Initializing...',
  'Reading from the source',
  'Comparing',
  'Writing changes',
];

export const TASK_KINDS: readonly [TaskKind, ...TaskKind[]] = [
  {
    definitionType: 'CLOUD_ACCOUNT_AGGREGATION',
    uniqueName: 'Cloud Account Aggregation',
    description: 'Aggregates from the specified application.',
    serviceMethod: 'accountAggregationTask',
    counters: ['total', 'optimized', 'created', 'updated', 'deleted', 'ignored'],
    phases: AGGREGATION_PHASES,
  },
  {
    definitionType: 'CLOUD_GROUP_AGGREGATION',
    uniqueName: 'Cloud Group Aggregation',
    description: 'Aggregates groups from the specified application.',
    serviceMethod: 'groupAggregationTask',
    counters: ['total', 'created', 'updated', 'deleted'],
    phases: AGGREGATION_PHASES,
  },
  {
    definitionType: 'CLOUD_PROCESS_UNCORRELATED_ACCOUNTS',
    uniqueName: 'Process Uncorrelated Accounts',
    description: 'Looks for owners of accounts that have none.',
    serviceMethod: 'uncorrelatedAccountsTask',
    counters: ['examined', 'correlated'],
    phases: ['Started', 'Matching'],
  },
  {
    definitionType: 'CLOUD_REFRESH_ROLE',
    uniqueName: 'Cloud Refresh Role',
    description: 'Evaluates the membership of roles.',
    serviceMethod: 'roleRefreshTask',
    counters: ['identityCount', 'assigned', 'revoked'],
    phases: ['Started', 'Evaluating', 'Provisioning'],
  },
  {
    definitionType: 'MACHINE_IDENTITY_AGGREGATION',
    uniqueName: 'Machine Identity Aggregation',
    description: 'Aggregates machine identities.',
    serviceMethod: 'machineIdentityTask',
    counters: ['total', 'created', 'updated'],
    phases: ['Started', 'Reading from the source'],
  },
];

const LAUNCHERS = ['System', 'System', 'slpt.services', 'ada.admin', 'grace.ops'];
const STATUSES = [
  'SUCCESS',
  'SUCCESS',
  'SUCCESS',
  'SUCCESS',
  'WARNING',
  'ERROR',
  'TERMINATED',
  'TEMPERROR',
];
const MESSAGES: Record<string, TaskMessage> = {
  WARNING: {
    type: 'WARN',
    key: 'Account deletion was skipped: 31% exceeds the 10% threshold.',
    localized: true,
  },
  ERROR: { type: 'ERROR', key: 'The connection to the source was refused.', localized: true },
  TERMINATED: { type: 'INFO', key: 'task_terminated_by_user', localized: false },
  TEMPERROR: {
    type: 'ERROR',
    key: 'The source was busy; the task will be tried again.',
    localized: false,
  },
};
const ODD_DATE_STYLES = ['offset', 'basic-offset', 'space', 'epoch'] as const;
const ODD_SHARE = 0.1;
const UNKNOWN_SHARE = 0.02;

/** Creates the life of a task. The same random numbers give the same task. */
export function createLifecycle(
  random: Random,
  sources: Sources,
  createdAt: number,
  oddities: boolean,
  options: LifecycleOptions,
): Lifecycle {
  // Draw every value even if an option replaces it. Otherwise an option would change the tasks that
  // follow.
  const drawnKind = random.pick(TASK_KINDS);
  const source = random.pick(sources);
  const hasTarget = random.chance(0.9);
  const queueMs = random.chance(0.8) ? random.between(10, 15) : random.between(2_000, 8_000);
  const runMs = random.between(15_000, 90_000);
  const statusLagMs = random.between(150, 900);
  const drawnStatus = random.pick(STATUSES);
  const size = random.between(40, 4_000);
  const isUnknown = random.chance(UNKNOWN_SHARE) && oddities;
  const unknownPlace = random.pick(['type', 'status', 'message', 'target'] as const);
  const isOddlyDated = random.chance(ODD_SHARE) && oddities;
  const oddStyle = random.pick(ODD_DATE_STYLES);
  const drawn = {
    id: random.hex(32),
    launcher: random.pick(LAUNCHERS),
    steps: random.between(4, 20),
    reportsPercent: random.chance(0.7),
    keepsZeroPercent: random.chance(0.4) && oddities,
    hasDefinition: random.chance(0.6),
  };

  const {
    definitionType,
    queueMs: queue = queueMs,
    runMs: run = runMs,
    statusLagMs: lag = oddities ? statusLagMs : 0,
    ...given
  } = options;
  const kind = TASK_KINDS.find(known => known.definitionType === definitionType) ?? drawnKind;
  const status = isUnknown && unknownPlace === 'status' ? 'PARTIAL_SUCCESS' : drawnStatus;
  const message = MESSAGES[given.status ?? status] ?? null;
  const endsAt = createdAt + queue + run;
  const { ending = NO_ODDITY.ending } = given;
  return {
    ...NO_ODDITY,
    ...drawn,
    kind,
    createdAt,
    launchedAt: createdAt + queue,
    completedAt: { 'date-first': endsAt, 'status-first': endsAt + lag, undated: Infinity }[ending],
    statusAt: ending === 'date-first' ? endsAt + lag : endsAt,
    type: isUnknown && unknownPlace === 'type' ? 'WORKFLOW' : 'QUARTZ',
    target: hasTarget
      ? { ...source, type: isUnknown && unknownPlace === 'target' ? 'MACHINE' : source.type }
      : null,
    status,
    totals: Object.fromEntries(
      kind.counters.map((name, place) => [name, Math.floor(size / (place * place + 1))]),
    ),
    message:
      isUnknown && unknownPlace === 'message'
        ? { type: 'DEBUG', key: 'worker_assigned', localized: false }
        : message,
    dateStyle: isOddlyDated ? oddStyle : 'z',
    ...given,
  };
}

/** The source or identity that a task runs against. */
export interface TaskTarget {
  id: string;
  type: string;
  name: string;
}

/** The tenant's sources, at least two. */
export type Sources = readonly [TaskTarget, TaskTarget, ...TaskTarget[]];
