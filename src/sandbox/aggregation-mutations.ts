type Status = Record<string, unknown>;

/**
 * Mutations that make the status of an account aggregation deviate from the specification, by name.
 */
export const AGGREGATION_MUTATIONS = {
  'status-missing': without('status'),
  'status-new': status => ({ ...status, status: 'PAUSED' }),
  'status-lower-case': status => ({ ...status, status: String(status['status']).toLowerCase() }),
  'start-unreadable': status => ({ ...status, start: 'never' }),
  'counts-missing': ({ start, status }) => ({ start, status }),
  'counts-null': counted(() => null),
  'counts-text': counted(String),
  'counts-negative': counted(count => -1 - count),
  'totals-zero': status => ({ ...status, totalAccounts: 0, totalIdentities: 0 }),
  'processed-over': status => ({ ...status, processedAccounts: 2_000_000_000 }),
  'identities-missing': without('totalIdentities', 'processedIdentities'),
  list: status => [status],
} satisfies Record<string, (status: Status) => unknown>;

export type AggregationMutation = keyof typeof AGGREGATION_MUTATIONS;

function counted(write: (count: number) => unknown): (status: Status) => Status {
  return status =>
    Object.fromEntries(
      Object.entries(status).map(([name, value]) => [
        name,
        typeof value === 'number' ? write(value) : value,
      ]),
    );
}

function without(...names: string[]): (status: Status) => Status {
  return status =>
    Object.fromEntries(Object.entries(status).filter(([name]) => !names.includes(name)));
}
