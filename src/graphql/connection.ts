import type { InputShapeFromFields } from '@pothos/core';
import { type GraphQLResolveInfo, responsePathAsArray } from 'graphql';
import { GatewayError } from '../errors.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { TaskSlice } from '../session/paging.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import { type Context, builder } from './builder.ts';
import { costs } from './cost.ts';
import { TaskStatusFilter, TaskStatusOrder, toTaskOrder } from './filters.ts';
import { selects } from './selection.ts';
import { TaskStatus } from './task-status-ref.ts';

// How long the list may be is known, and multiplied by, where it is asked for.
const COUNTED_ABOVE = costs({ multiplier: 1 });

// A request holds the ids of some 80 sources, however few rows are wanted of each.
const ROWS_PER_SOURCE = 3;

const PageInfo = builder.objectRef<TaskSlice>('PageInfo').implement({
  description: 'Where a page is in its list, as the Relay cursor connections specification says.',
  directives: { shareable: {} },
  fields: t => ({
    hasNextPage: t.boolean({
      description: 'Whether anything follows. It costs no count.',
      resolve: ({ hasNextPage }) => hasNextPage ?? false,
    }),
    hasPreviousPage: t.exposeBoolean('hasPreviousPage', {
      description: 'Whether the page was asked for by a cursor.',
    }),
    startCursor: t.string({
      nullable: true,
      description: 'The cursor of the first edge.',
      resolve: ({ entries }) => entries.at(0)?.cursor ?? null,
    }),
    endCursor: t.string({
      nullable: true,
      description: 'The cursor of the last edge: `after` for the next page.',
      resolve: ({ entries }) => entries.at(-1)?.cursor ?? null,
    }),
  }),
});

const TaskStatusEdge = builder.objectRef<TaskSlice['entries'][number]>('TaskStatusEdge').implement({
  description: 'A task in a list, and its place there.',
  fields: t => ({
    cursor: t.exposeString('cursor', {
      description: 'The place: `after` for what follows this task.',
    }),
    node: t.expose('task', { type: TaskStatus, description: 'The task.' }),
  }),
});

export const TaskStatusConnection = builder.objectRef<TaskSlice>('TaskStatusConnection').implement({
  description:
    'A page of tasks. A task that cannot be read is left out, and told of in the errors of the response.',
  fields: t => ({
    edges: t.expose('entries', {
      type: [TaskStatusEdge],
      extensions: COUNTED_ABOVE,
      description: 'The tasks and their cursors.',
    }),
    nodes: t.field({
      type: [TaskStatus],
      extensions: COUNTED_ABOVE,
      description: 'The tasks, where no cursor is wanted.',
      resolve: ({ entries }) => entries.map(({ task }) => task),
    }),
    pageInfo: t.field({
      type: PageInfo,
      description: 'Where the page is.',
      resolve: slice => slice,
    }),
    totalCount: t.int({
      nullable: true,
      description:
        'How many tasks match in all. Upstream is asked to count only when this is selected. Null, with an error at this field, where upstream does not count them.',
      resolve: countOf,
    }),
  }),
});

function countOf({ totalCount }: TaskSlice): number {
  if (totalCount !== null) return totalCount;
  throw new GatewayError(
    'UPSTREAM_INVALID_RESPONSE',
    'Upstream did not count the tasks that match.',
  );
}

/** The arguments of a field that is a list of tasks, `first` of them where a caller says nothing. */
export function listArguments(first: number) {
  return builder.args(t => ({
    filter: t.field({
      type: TaskStatusFilter,
      description: 'Which of them; all where it is left out.',
    }),
    orderBy: t.field({
      type: TaskStatusOrder,
      description: 'In which order; newest first where it is left out.',
    }),
    first: t.int({ defaultValue: first, description: 'At most this many, 0–250.' }),
    after: t.string({ description: 'Only what follows this cursor.' }),
  }));
}

type ListArguments = InputShapeFromFields<ReturnType<typeof listArguments>>;

/** What a list costs: what is selected of it, as often as it may be long. */
export function costOfList({ first }: Pick<ListArguments, 'first'>) {
  return { requests: 1, multiplier: lengthOf(first) };
}

/** As `costOfList`, but read together with the lists of other sources. */
export function costOfSourceList({ first }: Pick<ListArguments, 'first'>) {
  const length = lengthOf(first);
  return { rows: Math.max(length, ROWS_PER_SOURCE), multiplier: length };
}

function lengthOf(first: ListArguments['first']): number {
  return Math.min(PAGE_LIMIT, Math.max(1, first ?? PAGE_LIMIT));
}

/** The page that a list field asks for, and no more of it than was selected. */
export async function resolveConnection(
  { orderBy, first, after }: ListArguments,
  filter: TaskFilter,
  { caller, read, omitted }: Context,
  info: GraphQLResolveInfo,
): Promise<TaskSlice> {
  const wants = {
    tasks:
      ['edges', 'nodes'].some(field => selects(info, field)) ||
      ['startCursor', 'endCursor'].some(field => selects(info, 'pageInfo', field)),
    hasNextPage: selects(info, 'pageInfo', 'hasNextPage'),
    totalCount: selects(info, 'totalCount'),
  };
  const request = {
    filter,
    order: toTaskOrder(orderBy),
    first: first ?? PAGE_LIMIT,
    after: after ?? null,
    wants,
  };
  const slice = await caller.session.list(request, read);
  for (const error of slice.faults) omitted.push({ path: responsePathAsArray(info.path), error });
  return slice;
}
