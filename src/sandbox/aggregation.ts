import type { Lifecycle } from './lifecycle.ts';
import { formatDate } from './serialize.ts';

/** Upstream answers for so long after the end of an aggregation. */
const KEPT_MS = 3_600_000;
// The parts of a run: accounts are collected, then processed; identities follow the accounts.
const COLLECTED_AT = 0.3;
const ACCOUNTS_DONE_AT = 0.8;
const IDENTITIES_BEGIN_AT = 0.5;
const IDENTITIES_PER_ACCOUNT = 0.8;

/**
 * The status of an account aggregation at `now` as JSON of the REST API; null where upstream has
 * none: before its launch, an hour after its end, and for other tasks. `counted` says which counts
 * the version has. The counts at the end are those that the task has as attributes.
 */
export function serializeAggregation(
  lifecycle: Lifecycle,
  now: number,
  counted: 'accounts' | 'all',
): Record<string, unknown> | null {
  const { kind, launchedAt, totals, dateStyle } = lifecycle;
  const endsAt = Math.min(lifecycle.completedAt, lifecycle.statusAt);
  if (kind.definitionType !== 'CLOUD_ACCOUNT_AGGREGATION') return null;
  if (now < launchedAt || now >= endsAt + KEPT_MS) return null;

  const done = now >= endsAt ? 1 : (now - launchedAt) / (endsAt - launchedAt);
  const { created = 0, updated = 0, deleted = 0 } = totals;
  const accounts = created + updated + deleted;
  const identities = Math.floor(accounts * IDENTITIES_PER_ACCOUNT);
  const accountsDone = shareOf(done, COLLECTED_AT, ACCOUNTS_DONE_AT);
  const counts = {
    totalAccounts: accounts,
    processedAccounts: Math.floor(accounts * accountsDone),
    ...(counted === 'all' && {
      totalAccountsMarkedForDeletion: deleted,
      deletedAccounts: Math.floor(deleted * accountsDone),
      totalIdentities: identities,
      processedIdentities: Math.floor(identities * shareOf(done, IDENTITIES_BEGIN_AT, 1)),
    }),
  };
  return {
    start: formatDate(launchedAt, dateStyle),
    status: done === 1 ? endStatusOf(lifecycle) : done < COLLECTED_AT ? 'STARTED' : COLLECTED,
    ...(done < COLLECTED_AT ? {} : inForm(counts, lifecycle)),
  };
}

const COLLECTED = 'ACCOUNTS_COLLECTED';

function endStatusOf({ status }: Lifecycle): string {
  if (status === 'TERMINATED') return 'TERMINATED';
  // Upstream calls an aggregation COMPLETED even if it had errors.
  return status === 'TEMPERROR' ? 'RETRIED' : 'COMPLETED';
}

/** The share of a part of the run, from `begin` to `end`, that is done, 0–1. */
function shareOf(done: number, begin: number, end: number): number {
  return Math.min(1, Math.max(0, (done - begin) / (end - begin)));
}

/** Tasks whose percentage is odd have counts that are odd in the same way. */
function inForm(counts: Record<string, number>, { percentForm }: Lifecycle) {
  if (percentForm !== 'text') return counts;
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, String(count)]));
}
