/** What the board shows. Stands in the URL, so that a view can be bookmarked and shared. */
export interface Filters {
  /** RUNNING, a completion status, or empty for all. */
  status: string;
  /** The id of a source, or empty. */
  source: string;
  /** A definition type, or empty. */
  kind: string;
  /** A launcher's name, or empty. */
  launcher: string;
  /** A key of `PERIODS`, or `range` for `from` and `to`. */
  period: string;
  /** RFC 3339, or empty. */
  from: string;
  to: string;
}

export interface Sort {
  by: SortKey;
  isDescending: boolean;
}

export type SortKey =
  | 'created'
  | 'name'
  | 'target'
  | 'launcher'
  | 'status'
  | 'progress'
  | 'elapsed';

/** What the URL says. */
export interface View {
  filters: Filters;
  sort: Sort;
  /** The id of the task in the detail pane. */
  task: string | null;
}

export const STATUSES = ['RUNNING', 'SUCCESS', 'WARNING', 'ERROR', 'TERMINATED', 'TEMPERROR'];

/** The types by which upstream filters tasks. */
export const KINDS = [
  'CLOUD_ACCOUNT_AGGREGATION',
  'CLOUD_GROUP_AGGREGATION',
  'CLOUD_PROCESS_UNCORRELATED_ACCOUNTS',
  'CLOUD_REFRESH_ROLE',
  'SOURCE_APPLICATION_DISCOVERY',
  'AI_AGENT_AGGREGATION',
  'APPLICATION_DISCOVERY',
  'MACHINE_IDENTITY_AGGREGATION',
  'MACHINE_IDENTITY_DELETION',
  'ACCOUNT_DELETION',
  'CLOUD_ENTITLEMENT_IMPORT',
  'CLOUD_UNCORRELATED_REFRESH',
  'CLOUD_IDENTITY_AGGREGATION',
  'CLOUD_ATTRIBUTE_SYNCHRONIZATION',
  'IDENTITY_REFRESH',
];

const HOUR_MS = 3_600_000;

/** Milliseconds before now since which tasks are shown; null: as long as upstream keeps them. */
export const PERIODS: Record<string, { label: string; ms: number | null }> = {
  hour: { label: 'Last hour', ms: HOUR_MS },
  day: { label: 'Last 24 hours', ms: 24 * HOUR_MS },
  week: { label: 'Last 7 days', ms: 7 * 24 * HOUR_MS },
  all: { label: 'All', ms: null },
};

const SORT_KEYS: readonly SortKey[] = [
  'created',
  'name',
  'target',
  'launcher',
  'status',
  'progress',
  'elapsed',
];
const DEFAULT_PERIOD = 'day';

export const NO_FILTERS: Filters = {
  status: '',
  source: '',
  kind: '',
  launcher: '',
  period: DEFAULT_PERIOD,
  from: '',
  to: '',
};

/** Reads the query of the URL. What it does not understand, it ignores. */
export function readView(search: string): View {
  const query = new URLSearchParams(search);
  const text = (name: string) => query.get(name)?.trim() ?? '';
  const period = text('period');
  const sort = text('sort');
  const by = SORT_KEYS.find(key => key === sort.replace(/^-/, ''));
  const filters = {
    status: STATUSES.find(status => status === text('status').toUpperCase()) ?? '',
    source: text('source'),
    kind: text('kind'),
    launcher: text('launcher'),
    period: period === 'range' || Object.hasOwn(PERIODS, period) ? period : DEFAULT_PERIOD,
    from: toInstant(text('from')),
    to: toInstant(text('to')),
  };
  return {
    filters,
    sort: by ? { by, isDescending: sort.startsWith('-') } : { by: 'created', isDescending: true },
    task: text('task') || null,
  };
}

/** The query of the URL, without what is as in a fresh view; empty or beginning with `?`. */
export function toSearch({ filters, sort, task }: View): string {
  const query = new URLSearchParams();
  const isRange = filters.period === 'range';
  for (const [name, value] of Object.entries(filters)) {
    if (value === '' || (name === 'period' && value === DEFAULT_PERIOD)) continue;
    if ((name === 'from' || name === 'to') && !isRange) continue;
    query.set(name, value);
  }
  if (sort.by !== 'created' || !sort.isDescending)
    query.set('sort', `${sort.isDescending ? '-' : ''}${sort.by}`);
  if (task !== null) query.set('task', task);
  const text = query.toString();
  return text && `?${text}`;
}

/** The filter as the GraphQL API takes it; null if it selects all tasks. */
export function toTaskStatusFilter(filters: Filters, nowMs: number): object | null {
  const { status, source, kind, launcher } = filters;
  const created = toCreated(filters, nowMs);
  const filter = {
    ...(status === 'RUNNING' && { completionStatus: { isNull: true } }),
    ...(status !== '' && status !== 'RUNNING' && { completionStatus: { eq: status } }),
    ...(source !== '' && { sourceId: { eq: source } }),
    ...(kind !== '' && { definitionType: { eq: kind } }),
    ...(launcher !== '' && { launcher: { eq: launcher } }),
    ...(created !== null && { created }),
  };
  return Object.keys(filter).length === 0 ? null : filter;
}

function toCreated({ period, from, to }: Filters, nowMs: number): object | null {
  if (period === 'range') {
    if (from === '' && to === '') return null;
    return { ...(from !== '' && { gte: from }), ...(to !== '' && { lt: to }) };
  }
  const ms = PERIODS[period]?.ms ?? null;
  return ms === null ? null : { gte: new Date(nowMs - ms).toISOString() };
}

function toInstant(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString();
}
