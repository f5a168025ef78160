import type { ErrorCode, ErrorDetails } from '../errors.ts';

export const AGGREGATION_STATUSES = [
  'STARTED',
  'ACCOUNTS_COLLECTED',
  'COMPLETED',
  'CANCELLED',
  'RETRIED',
  'TERMINATED',
  'NOT_FOUND',
] as const;

/** UNKNOWN stands for a status that upstream has added since. */
export type AggregationStatus = (typeof AGGREGATION_STATUSES)[number] | 'UNKNOWN';

/**
 * The progress of an account aggregation when it was read. Counts are null while upstream has none.
 */
export interface AccountAggregation {
  status: AggregationStatus;
  /** The status exactly as upstream sent it; empty if it sent none. */
  rawStatus: string;
  /** Milliseconds since the epoch. */
  started: number | null;
  /** New, changed and deleted accounts. Unchanged accounts do not count. */
  totalAccounts: number | null;
  processedAccounts: number | null;
  totalAccountsMarkedForDeletion: number | null;
  deletedAccounts: number | null;
  totalIdentities: number | null;
  processedIdentities: number | null;
}

/**
 * What a poll or a stream found: an aggregation, null where upstream has none, or why it could not
 * be read.
 */
export type AggregationReading =
  | { aggregation: AccountAggregation | null }
  | { failure: { code: ErrorCode; message: string; details: Omit<ErrorDetails, 'cause'> } };

/** Whether upstream will not change it any more. */
export function isFinalAggregation({ status }: AccountAggregation): boolean {
  return status === 'COMPLETED' || status === 'CANCELLED' || status === 'TERMINATED';
}

/**
 * The percentage of accounts and identities that are processed, 0–100, rounded down; null while no
 * total is known. Totals of 0 are 100 % once the aggregation is COMPLETED and unknown before,
 * because they may still grow.
 */
export function aggregationPercentOf(aggregation: AccountAggregation): number | null {
  const { totalAccounts, processedAccounts, totalIdentities, processedIdentities } = aggregation;
  if (totalAccounts === null && totalIdentities === null) return null;
  const total = (totalAccounts ?? 0) + (totalIdentities ?? 0);
  if (total === 0) return aggregation.status === 'COMPLETED' ? 100 : null;
  // More than the total may be reported as processed. It must not count for the other part.
  const processed =
    Math.min(processedAccounts ?? 0, totalAccounts ?? 0) +
    Math.min(processedIdentities ?? 0, totalIdentities ?? 0);
  return Math.floor((100 * processed) / total);
}
