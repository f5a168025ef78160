import { type GraphQLResolveInfo, OperationTypeNode } from 'graphql';
import { type AccountAggregation, aggregationPercentOf } from '../task/account-aggregation.ts';
import { type Task, hasEnded, isAccountAggregation } from '../task/task.ts';
import { fromFailure } from '../progress/failure.ts';
import { type Context, builder } from './builder.ts';
import { AccountAggregationStatus } from './enums.ts';

const COLLECTED = 'Null until upstream has collected the accounts';

/** The GraphQL type of an account aggregation's progress. */
export const AccountAggregationType = builder
  .objectRef<AccountAggregation>('AccountAggregation')
  .implement({
    description: 'The progress of an account aggregation, as upstream reports it.',
    directives: { shareable: {} },
    fields: t => ({
      status: t.expose('status', {
        type: AccountAggregationStatus,
        description: 'How far the aggregation is.',
      }),
      rawStatus: t.exposeString('rawStatus', {
        description: 'The status exactly as upstream sent it; empty if it sent none.',
      }),
      started: t.expose('started', {
        type: 'DateTime',
        nullable: true,
        description: 'When the aggregation began.',
      }),
      totalAccounts: t.exposeInt('totalAccounts', {
        nullable: true,
        description: `The number of new, changed and deleted accounts. Unchanged accounts do not count, so it may be 0. ${COLLECTED}.`,
      }),
      processedAccounts: t.exposeInt('processedAccounts', {
        nullable: true,
        description: `The number of those accounts that are processed. ${COLLECTED}.`,
      }),
      totalAccountsMarkedForDeletion: t.exposeInt('totalAccountsMarkedForDeletion', {
        nullable: true,
        description: `The number of accounts that are marked for deletion. ${COLLECTED}, and on versions before v1.`,
      }),
      deletedAccounts: t.exposeInt('deletedAccounts', {
        nullable: true,
        description: `The number of accounts that are deleted. ${COLLECTED}, and on versions before v1.`,
      }),
      totalIdentities: t.exposeInt('totalIdentities', {
        nullable: true,
        description: `The number of identities to refresh. ${COLLECTED}, and on versions before v1.`,
      }),
      processedIdentities: t.exposeInt('processedIdentities', {
        nullable: true,
        description: `The number of identities that are refreshed. ${COLLECTED}, and on versions before v1.`,
      }),
      percentComplete: t.int({
        nullable: true,
        description:
          'The percentage of accounts and identities that are processed, 0–100, rounded down. Null while no total is known, and while all totals are 0 and the aggregation is not COMPLETED. It may fall when upstream finds more to process; `effectivePercentComplete` of the task does not, within a subscription.',
        resolve: aggregationPercentOf,
      }),
    }),
  });

/**
 * Resolves `TaskStatus.accountAggregation`: what a stream has read with the task, else a read of
 * its own.
 */
export function resolveAggregation(
  task: Task,
  { caller, read, aggregations }: Context,
): AccountAggregation | null | Promise<AccountAggregation | null> {
  const { aggregation: reading } = task;
  if (reading !== undefined) {
    if ('failure' in reading) throw fromFailure(reading.failure);
    return reading.aggregation;
  }
  if (!isAccountAggregation(task)) return null;
  const asked = caller.session.aggregations.load(task, read);
  aggregations.set(task.id, asked);
  return asked.finally(() => aggregations.delete(task.id));
}

/**
 * Resolves a field that depends on the percentage of a task, with the account aggregation where
 * that is known already or selected beside it. Events of a stream have what they need: a percentage
 * that comes from elsewhere might fall.
 */
export function withKnownAggregation<T>(
  task: Task,
  context: Context,
  { operation }: GraphQLResolveInfo,
  resolve: (task: Task) => T,
): T | Promise<T> {
  const isStream = operation.operation === OperationTypeNode.SUBSCRIPTION;
  if (isStream || hasEnded(task) || !isAccountAggregation(task)) return resolve(task);
  return knownAggregation(task.id, context).then(aggregation =>
    resolve(aggregation === undefined ? task : { ...task, aggregation: { aggregation } }),
  );
}

async function knownAggregation(
  taskId: string,
  { caller, read, aggregations }: Context,
): Promise<AccountAggregation | null | undefined> {
  // The fields of a selection are resolved one after another: a later one may select it.
  await Promise.resolve();
  // The field that selects it reports why it failed. Other operations are not waited for.
  const selected = aggregations.get(taskId)?.catch(() => undefined);
  return selected ?? caller.session.aggregations.known(taskId, read);
}
