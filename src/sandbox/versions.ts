export type SandboxVersion = 'beta' | 'v2024' | 'v2025' | 'v2026' | 'v1';
export type Operator = 'eq' | 'in' | 'isnull';

/** The features of one version of the REST API. */
export interface VersionRules {
  version: SandboxVersion;
  /** The path of the collection. A task's path has one more segment. */
  path: string;
  /**
   * The path of account aggregations. That of one continues with the id of its task and `status`.
   */
  aggregationsPath: string;
  /** The counts that the status of an account aggregation has. */
  aggregationCounts: 'accounts' | 'all';
  /** Whether lists include running tasks. */
  listsRunning: boolean;
  /** Whether the deprecated `pending-tasks` exists. */
  hasPendingTasks: boolean;
  operators: Readonly<Record<string, readonly Operator[]>>;
  definitionTypes: readonly string[];
}

const DEFINITION_TYPES = [
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
];

const LATER_DEFINITION_TYPES = [
  ...DEFINITION_TYPES,
  'CLOUD_ENTITLEMENT_IMPORT',
  'CLOUD_UNCORRELATED_REFRESH',
  'CLOUD_IDENTITY_AGGREGATION',
  'CLOUD_ATTRIBUTE_SYNCHRONIZATION',
  'IDENTITY_REFRESH',
];

const EQUALITY = ['eq', 'in'] as const;
const OPERATORS = { id: EQUALITY, sourceId: EQUALITY, completionStatus: EQUALITY, type: EQUALITY };
const NULLABLE_OPERATORS = { ...OPERATORS, completionStatus: [...EQUALITY, 'isnull'] as const };
const LAUNCHER_OPERATORS = { ...NULLABLE_OPERATORS, launcher: EQUALITY };

/** All versions that the sandbox supports. */
export const VERSIONS: readonly VersionRules[] = [
  {
    version: 'beta',
    path: '/beta/task-status',
    aggregationsPath: '/beta/account-aggregations',
    aggregationCounts: 'accounts',
    listsRunning: false,
    hasPendingTasks: true,
    operators: OPERATORS,
    definitionTypes: DEFINITION_TYPES,
  },
  {
    version: 'v2024',
    path: '/v2024/task-status',
    aggregationsPath: '/v2024/account-aggregations',
    aggregationCounts: 'accounts',
    listsRunning: false,
    hasPendingTasks: true,
    operators: OPERATORS,
    definitionTypes: DEFINITION_TYPES,
  },
  {
    version: 'v2025',
    path: '/v2025/task-status',
    aggregationsPath: '/v2025/account-aggregations',
    aggregationCounts: 'accounts',
    listsRunning: true,
    hasPendingTasks: true,
    operators: NULLABLE_OPERATORS,
    definitionTypes: DEFINITION_TYPES,
  },
  {
    version: 'v2026',
    path: '/v2026/task-status',
    aggregationsPath: '/v2026/account-aggregations',
    aggregationCounts: 'accounts',
    listsRunning: true,
    hasPendingTasks: false,
    operators: LAUNCHER_OPERATORS,
    definitionTypes: LATER_DEFINITION_TYPES,
  },
  {
    version: 'v1',
    path: '/task-status/v1',
    aggregationsPath: '/account-aggregations/v1',
    aggregationCounts: 'all',
    listsRunning: true,
    hasPendingTasks: false,
    operators: LAUNCHER_OPERATORS,
    definitionTypes: LATER_DEFINITION_TYPES,
  },
];
