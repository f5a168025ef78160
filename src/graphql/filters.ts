import { GatewayError } from '../errors.ts';
import type { CreatedRange, TaskFilter as TaskFilterData, TaskOrder } from '../task/filter.ts';
import { builder } from './builder.ts';
import { TaskCompletionStatus } from './enums.ts';

const EQUALS = 'Matches this value.';
// How many ids of the usual length a request holds, with the default of UPSTREAM_MAX_URL_BYTES.
const IDS_PER_REQUEST = 90;
const IS_ONE_OF = 'Matches any of these values. An empty list matches no task.';

// As measured over 20,000 tasks. A bound near one that was found before costs 1 or 2.
const REQUESTS_PER_BOUND = 5;

const TaskStatusIDFilter = builder.inputType('TaskStatusIDFilter', {
  description: 'A condition on an id. Set exactly one field.',
  isOneOf: true,
  fields: t => ({
    eq: t.id({ description: EQUALS }),
    in: t.idList({ description: IS_ONE_OF }),
  }),
});

const TaskStatusStringFilter = builder.inputType('TaskStatusStringFilter', {
  description:
    'A condition on a string. Set exactly one field. Upstream ignores case when it compares.',
  isOneOf: true,
  fields: t => ({
    eq: t.string({ description: EQUALS }),
    in: t.stringList({ description: IS_ONE_OF }),
  }),
});

const TaskStatusCreatedFilter = builder.inputType('TaskStatusCreatedFilter', {
  description:
    'A range of creation dates. At least one bound is required. Upstream cannot filter by date, but its lists are ordered by it. A list is read up to the far bound; the near bound, from which the list starts (`lt` if newest first, `gte` if oldest first), is searched for. So a page of the last 24 hours, newest first, costs the same upstream requests as a page without a range. A search costs about 5 requests the first time and 1 or 2 for a bound near one that was found before; `totalCount` searches for each bound.',
  fields: t => ({
    gte: t.field({
      type: 'DateTime',
      description: 'Created at this instant or later.',
    }),
    lt: t.field({ type: 'DateTime', description: 'Created before this instant.' }),
  }),
});

const TaskCompletionStatusFilter = builder.inputType('TaskCompletionStatusFilter', {
  description: 'A condition on the completion status. Set exactly one field.',
  isOneOf: true,
  fields: t => ({
    eq: t.field({
      type: TaskCompletionStatus,
      description: `${EQUALS} UNKNOWN is not allowed.`,
    }),
    in: t.field({
      type: [TaskCompletionStatus],
      description: IS_ONE_OF,
    }),
    isNull: t.boolean({
      description:
        'True: the task has no status yet. False: it has one. Not available on v2024 and beta.',
    }),
  }),
});

export const TaskStatusFilter = builder.inputType('TaskStatusFilter', {
  description:
    'Selects the tasks that meet every condition given. A condition that the configured API version does not support is refused with BAD_USER_INPUT.',
  fields: t => ({
    id: t.field({ type: TaskStatusIDFilter, description: 'The id of the task.' }),
    sourceId: t.field({
      type: TaskStatusIDFilter,
      description: 'The id of the source that the task runs against.',
    }),
    created: t.field({
      type: TaskStatusCreatedFilter,
      description: 'When the task was created.',
    }),
    completionStatus: t.field({
      type: TaskCompletionStatusFilter,
      description: 'The completion status of the task.',
    }),
    definitionType: t.field({
      type: TaskStatusStringFilter,
      description:
        "The type of the task's definition in upstream's terms, such as CLOUD_ACCOUNT_AGGREGATION. These are not the values of `TaskStatus.type`.",
    }),
    launcher: t.field({
      type: TaskStatusStringFilter,
      description: 'The user or service that started the task. Available on v2026 and v1 only.',
    }),
  }),
});

const TaskStatusOrderField = builder.enumType('TaskStatusOrderField', {
  description: 'A field by which a list can be ordered.',
  values: {
    CREATED: { description: 'The creation date, the only order that upstream supports.' },
  },
});

const TaskStatusOrderDirection = builder.enumType('TaskStatusOrderDirection', {
  description: 'The direction of an order.',
  values: { ASC: { description: 'Oldest first.' }, DESC: { description: 'Newest first.' } },
});

export const TaskStatusOrder = builder.inputType('TaskStatusOrder', {
  description: 'The order of a list.',
  fields: t => ({
    field: t.field({
      type: TaskStatusOrderField,
      required: true,
      defaultValue: 'CREATED',
      description: 'The field to order by.',
    }),
    direction: t.field({
      type: TaskStatusOrderDirection,
      required: true,
      defaultValue: 'DESC',
      description: 'The direction to order in.',
    }),
  }),
});

/**
 * Converts a filter argument to the domain's filter. Throws BAD_USER_INPUT for a condition that
 * upstream does not support.
 */
export function toTaskFilter(
  input: typeof TaskStatusFilter.$inferInput | null | undefined,
): TaskFilterData {
  const { id, sourceId, created, completionStatus, definitionType, launcher } = input ?? {};
  const statuses = anyOf(completionStatus);
  if (statuses?.includes('UNKNOWN'))
    throw new GatewayError(
      'BAD_USER_INPUT',
      '`completionStatus` cannot be filtered by UNKNOWN, which stands for values that this schema does not know.',
    );
  const conditions: TaskFilterData = {
    ids: anyOf(id),
    sourceIds: anyOf(sourceId),
    definitionTypes: anyOf(definitionType),
    launchers: anyOf(launcher),
    created: created ? toCreatedRange(created) : undefined,
    completionStatuses: statuses,
    completionStatusIsNull: completionStatus?.isNull ?? undefined,
  };
  return Object.fromEntries(Object.entries(conditions).filter(([, value]) => value !== undefined));
}

function toCreatedRange({ gte, lt }: typeof TaskStatusCreatedFilter.$inferInput): CreatedRange {
  if (!gte && !lt)
    throw new GatewayError('BAD_USER_INPUT', '`created` needs at least one of `gte` and `lt`.');
  return { ...(gte && { gte: gte.getTime() }), ...(lt && { lt: lt.getTime() }) };
}

/** Converts an order argument to the domain's order; newest first if it is left out. */
export function toTaskOrder(
  input: typeof TaskStatusOrder.$inferInput | null | undefined,
): TaskOrder {
  return input?.direction === 'ASC' ? 'CREATED_ASC' : 'CREATED_DESC';
}

/** Estimates how many upstream requests the ids of a filter argument need: 1 or more. */
export function requestsOf(
  input: { id?: { in?: readonly unknown[] | null } | null } | null | undefined,
): number {
  return Math.max(1, Math.ceil((input?.id?.in?.length ?? 0) / IDS_PER_REQUEST));
}

/**
 * Estimates how many upstream requests the search for the start of a list with these arguments
 * needs.
 */
export function searchRequestsOf(
  filter: typeof TaskStatusFilter.$inferInput | null | undefined,
  orderBy: typeof TaskStatusOrder.$inferInput | null | undefined,
): number {
  const { gte, lt } = filter?.created ?? {};
  return (toTaskOrder(orderBy) === 'CREATED_ASC' ? gte : lt) ? REQUESTS_PER_BOUND : 0;
}

/** Estimates how many upstream requests a count of the matching tasks needs: 1 or more. */
export function requestsPerCountOf(
  filter: typeof TaskStatusFilter.$inferInput | null | undefined,
): number {
  const { gte, lt } = filter?.created ?? {};
  return Math.max(requestsOf(filter), [gte, lt].filter(Boolean).length * REQUESTS_PER_BOUND);
}

function anyOf<T>(
  condition: { eq?: T | null; in?: readonly T[] | null } | null | undefined,
): readonly T[] | undefined {
  if (condition?.eq !== undefined && condition.eq !== null) return [condition.eq];
  return condition?.in ?? undefined;
}
