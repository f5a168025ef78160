import { GatewayError } from '../errors.ts';
import type { TaskFilter as TaskFilterData, TaskOrder } from '../task/filter.ts';
import { builder } from './builder.ts';
import { TaskCompletionStatus } from './enums.ts';

const IDFilter = builder.inputType('IDFilter', {
  description: 'A condition on an id: exactly one of the fields.',
  isOneOf: true,
  fields: t => ({
    eq: t.id({ description: 'It is this one.' }),
    in: t.idList({ description: 'It is one of these; none of an empty list.' }),
  }),
});

const StringFilter = builder.inputType('StringFilter', {
  description:
    'A condition on a text: exactly one of the fields. Upstream compares without regard to case.',
  isOneOf: true,
  fields: t => ({
    eq: t.string({ description: 'It is this one.' }),
    in: t.stringList({ description: 'It is one of these; none of an empty list.' }),
  }),
});

const TaskCompletionStatusFilter = builder.inputType('TaskCompletionStatusFilter', {
  description: 'A condition on how a task ended: exactly one of the fields.',
  isOneOf: true,
  fields: t => ({
    eq: t.field({
      type: TaskCompletionStatus,
      description: 'It is this one. UNKNOWN cannot be asked for.',
    }),
    in: t.field({
      type: [TaskCompletionStatus],
      description: 'It is one of these; none of an empty list.',
    }),
    isNull: t.boolean({ description: 'Whether there is none yet. Not on v2024 and beta.' }),
  }),
});

export const TaskStatusFilter = builder.inputType('TaskStatusFilter', {
  description:
    'Which tasks are wanted: those for which every condition given holds. A condition that the configured version of the API cannot express is refused with BAD_USER_INPUT.',
  fields: t => ({
    id: t.field({ type: IDFilter, description: 'By id of the task.' }),
    sourceId: t.field({ type: IDFilter, description: 'By id of the source it runs against.' }),
    completionStatus: t.field({
      type: TaskCompletionStatusFilter,
      description: 'By how it ended.',
    }),
    definitionType: t.field({
      type: StringFilter,
      description:
        "By upstream's word for the kind of task, such as CLOUD_ACCOUNT_AGGREGATION. It is not the vocabulary of `TaskStatus.type`.",
    }),
    launcher: t.field({
      type: StringFilter,
      description: 'By who started it. On v2026 and v1 only.',
    }),
  }),
});

const TaskStatusOrderField = builder.enumType('TaskStatusOrderField', {
  description: 'What lists can be ordered by.',
  values: {
    CREATED: { description: 'When the task was created; upstream orders by nothing else.' },
  },
});

const OrderDirection = builder.enumType('OrderDirection', {
  description: 'Which end of an order comes first.',
  values: { ASC: { description: 'Oldest first.' }, DESC: { description: 'Newest first.' } },
});

export const TaskStatusOrder = builder.inputType('TaskStatusOrder', {
  description: 'The order of a list.',
  fields: t => ({
    field: t.field({
      type: TaskStatusOrderField,
      required: true,
      defaultValue: 'CREATED',
      description: 'What to order by.',
    }),
    direction: t.field({
      type: OrderDirection,
      required: true,
      defaultValue: 'DESC',
      description: 'Which end comes first.',
    }),
  }),
});

/** A filter as the domain has it. Throws BAD_USER_INPUT for what cannot be asked of upstream. */
export function toTaskFilter(
  input: typeof TaskStatusFilter.$inferInput | null | undefined,
): TaskFilterData {
  const { id, sourceId, completionStatus, definitionType, launcher } = input ?? {};
  const statuses = anyOf(completionStatus);
  if (statuses?.includes('UNKNOWN'))
    throw new GatewayError(
      'BAD_USER_INPUT',
      '`completionStatus` UNKNOWN stands for values that upstream cannot be asked for.',
    );
  const conditions: TaskFilterData = {
    ids: anyOf(id),
    sourceIds: anyOf(sourceId),
    definitionTypes: anyOf(definitionType),
    launchers: anyOf(launcher),
    completionStatuses: statuses,
    completionStatusIsNull: completionStatus?.isNull ?? undefined,
  };
  return Object.fromEntries(Object.entries(conditions).filter(([, value]) => value !== undefined));
}

/** Newest first where nothing is said. */
export function toTaskOrder(
  input: typeof TaskStatusOrder.$inferInput | null | undefined,
): TaskOrder {
  return input?.direction === 'ASC' ? 'CREATED_ASC' : 'CREATED_DESC';
}

function anyOf<T>(
  condition: { eq?: T | null; in?: readonly T[] | null } | null | undefined,
): readonly T[] | undefined {
  if (condition?.eq !== undefined && condition.eq !== null) return [condition.eq];
  return condition?.in ?? undefined;
}
