import type { InputShapeFromFields } from '@pothos/core';
import { GatewayError } from '../errors.ts';
import { type TaskFilter, withCompletionStatus } from '../task/filter.ts';
import type { CompletionStatus } from '../task/task.ts';
import { builder } from './builder.ts';
import { costs } from './cost.ts';
import { TaskStatusFilter, requestsPerCountOf } from './filters.ts';

/** The numbers of the tasks that match a filter. Each is counted when it is resolved. */
export const TaskStatusCounts = builder
  .objectRef<{ filter: TaskFilter }>('TaskStatusCounts')
  .implement({
    description:
      'How many tasks match a filter. Upstream counts each field separately, and only if it is selected: each costs one upstream request, unless the same list is read or counted anyway. With a condition on `created`, each searches for the bounds of the range. A field is null, with an error for it, if upstream does not count it.',
    fields: t => {
      const countField = (description: string, restrict: (filter: TaskFilter) => TaskFilter) =>
        t.int({
          nullable: true,
          description,
          extensions: costs({ requests: 1 }),
          resolve: async ({ filter }, _args, { caller, read }) =>
            knownCount(await caller.session.count(restrict(filter), read)),
        });
      const withStatus = (status: CompletionStatus | null) => (filter: TaskFilter) =>
        withCompletionStatus(filter, status);
      return {
        total: countField(
          'All matching tasks. On v2024 and beta, only those that have ended, as in `taskStatuses`.',
          filter => filter,
        ),
        running: countField(
          'The tasks without a completion status, whether launched yet or not. Not available on v2024 and beta.',
          withStatus(null),
        ),
        success: countField('The tasks that succeeded.', withStatus('SUCCESS')),
        warning: countField(
          'The tasks that ended but did not do everything.',
          withStatus('WARNING'),
        ),
        error: countField('The tasks that failed.', withStatus('ERROR')),
        terminated: countField(
          'The tasks that were stopped before their end.',
          withStatus('TERMINATED'),
        ),
        tempError: countField(
          'The tasks that failed for a temporary reason.',
          withStatus('TEMPERROR'),
        ),
      };
    },
  });

/** The arguments of a field that returns counts. */
export const COUNTS_ARGUMENTS = builder.args(t => ({
  filter: t.field({
    type: TaskStatusFilter,
    description:
      'Which tasks to count. Without a filter, all tasks. A condition on `completionStatus` applies to every count: a status that it excludes counts 0.',
  }),
}));

/**
 * The cost of a field that returns counts: what is selected of it, as often as upstream is asked
 * for each.
 */
export function costOfCounts({ filter }: Partial<InputShapeFromFields<typeof COUNTS_ARGUMENTS>>) {
  return { multiplier: requestsPerCountOf(filter) };
}

/** The count, or UPSTREAM_INVALID_RESPONSE if upstream did not return one. */
export function knownCount(count: number | null): number {
  if (count !== null) return count;
  throw new GatewayError(
    'UPSTREAM_INVALID_RESPONSE',
    'Upstream did not return the number of matching tasks.',
  );
}
