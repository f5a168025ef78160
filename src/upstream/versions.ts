import { GatewayError } from '../errors.ts';
import type { TaskFilter } from '../task/filter.ts';

export const API_VERSIONS = ['v1', 'v2026', 'v2025', 'v2024', 'beta'] as const;
export type ApiVersion = (typeof API_VERSIONS)[number];

/** The features of one version of the Task Status API. */
export interface VersionRules {
  /** The path of the collection, below the tenant's base URL. */
  path: string;
  /** The path of account aggregations, below which each has the id of its task. */
  aggregationsPath: string;
  /**
   * Whether lists include running tasks. Otherwise they hold only tasks with a completion status.
   */
  listsRunning: boolean;
  filtersOnNull: boolean;
  filtersOnLauncher: boolean;
}

/** The versions, as their OpenAPI documents describe them. */
export const VERSION_RULES: Readonly<Record<ApiVersion, VersionRules>> = {
  v1: {
    path: '/task-status/v1',
    aggregationsPath: '/account-aggregations/v1',
    listsRunning: true,
    filtersOnNull: true,
    filtersOnLauncher: true,
  },
  v2026: {
    path: '/v2026/task-status',
    aggregationsPath: '/v2026/account-aggregations',
    listsRunning: true,
    filtersOnNull: true,
    filtersOnLauncher: true,
  },
  v2025: {
    path: '/v2025/task-status',
    aggregationsPath: '/v2025/account-aggregations',
    listsRunning: true,
    filtersOnNull: true,
    filtersOnLauncher: false,
  },
  v2024: {
    path: '/v2024/task-status',
    aggregationsPath: '/v2024/account-aggregations',
    listsRunning: false,
    filtersOnNull: false,
    filtersOnLauncher: false,
  },
  beta: {
    path: '/beta/task-status',
    aggregationsPath: '/beta/account-aggregations',
    listsRunning: false,
    filtersOnNull: false,
    filtersOnLauncher: false,
  },
};

/** Throws BAD_USER_INPUT for a condition that the version does not support. */
export function checkExpressible(filter: TaskFilter, version: ApiVersion): void {
  const rules = VERSION_RULES[version];
  if (filter.completionStatusIsNull !== undefined && !rules.filtersOnNull)
    refuse('completionStatus.isNull', version, 'filtersOnNull');
  if (filter.launchers !== undefined && !rules.filtersOnLauncher)
    refuse('launcher', version, 'filtersOnLauncher');
}

function refuse(
  field: string,
  version: ApiVersion,
  ability: 'filtersOnNull' | 'filtersOnLauncher',
): never {
  const able = API_VERSIONS.filter(name => VERSION_RULES[name][ability]);
  throw new GatewayError(
    'BAD_USER_INPUT',
    `Version ${version} of the Task Status API cannot filter on ${field}; ${able.join(', ')} can.`,
  );
}
