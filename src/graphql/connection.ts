import type { InputShapeFromFields } from '@pothos/core';
import { type GraphQLResolveInfo, responsePathAsArray } from 'graphql';
import type { TaskFilter } from '../task/filter.ts';
import type { TaskSlice } from '../session/paging.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import { type Context, builder } from './builder.ts';
import { costs } from './cost.ts';
import { knownCount } from './counts.ts';
import { TaskStatusFilter, TaskStatusOrder, requestsOf, toTaskOrder } from './filters.ts';
import { selects } from './selection.ts';
import { TaskStatus } from './task-status-ref.ts';

// The list field that returns the connection already multiplies by the page length.
const COUNTED_ABOVE = costs({ multiplier: 1 });

// A request holds the ids of about 80 sources, however few rows each needs.
const ROWS_PER_SOURCE = 3;

const PageInfo = builder.objectRef<TaskSlice>('PageInfo').implement({
  description:
    'The position of a page in its list, as the Relay cursor connections specification defines it.',
  directives: { shareable: {} },
  fields: t => ({
    hasNextPage: t.boolean({
      description:
        'Whether more tasks follow this page. Selecting it does not make upstream count them.',
      resolve: ({ hasNextPage }) => hasNextPage ?? false,
    }),
    hasPreviousPage: t.exposeBoolean('hasPreviousPage', {
      description: 'Whether the page was requested with an `after` cursor.',
    }),
    startCursor: t.string({
      nullable: true,
      description: 'The cursor of the first task on the page. Null if the page is empty.',
      resolve: ({ entries }) => entries.at(0)?.cursor ?? null,
    }),
    endCursor: t.string({
      nullable: true,
      description:
        'The cursor of the last task on the page. Use it as `after` to get the next page. Null if the page is empty.',
      resolve: ({ entries }) => entries.at(-1)?.cursor ?? null,
    }),
  }),
});

const TaskStatusEdge = builder.objectRef<TaskSlice['entries'][number]>('TaskStatusEdge').implement({
  description: 'A task in a list, with its cursor.',
  fields: t => ({
    cursor: t.exposeString('cursor', {
      description: 'The cursor of this task. Use it as `after` to get the tasks that follow.',
    }),
    node: t.expose('task', { type: TaskStatus, description: 'The task.' }),
  }),
});

export const TaskStatusConnection = builder.objectRef<TaskSlice>('TaskStatusConnection').implement({
  description:
    'A page of tasks. A task that cannot be read is left out and reported in the `errors` of the response.',
  fields: t => ({
    edges: t.expose('entries', {
      type: [TaskStatusEdge],
      extensions: COUNTED_ABOVE,
      description: 'The tasks of the page, each with its cursor.',
    }),
    nodes: t.field({
      type: [TaskStatus],
      extensions: COUNTED_ABOVE,
      description: 'The tasks of the page, without cursors.',
      resolve: ({ entries }) => entries.map(({ task }) => task),
    }),
    pageInfo: t.field({
      type: PageInfo,
      description: 'Cursors of the page, and whether more tasks follow.',
      resolve: slice => slice,
    }),
    totalCount: t.int({
      nullable: true,
      description:
        'The total number of matching tasks. Upstream counts them only if this field is selected. Null, with an error for this field, if upstream does not return a count.',
      resolve: ({ totalCount }) => knownCount(totalCount),
    }),
  }),
});

/** The arguments of a field that returns a list of tasks. `first` is the default page length. */
export function listArguments(first: number) {
  return builder.args(t => ({
    filter: t.field({
      type: TaskStatusFilter,
      description: 'Which tasks to return. Without a filter, all tasks.',
    }),
    orderBy: t.field({
      type: TaskStatusOrder,
      description: 'The order of the tasks. By default, newest first.',
    }),
    first: t.int({
      defaultValue: first,
      description: 'The maximum number of tasks to return, 0–250.',
    }),
    after: t.string({
      description:
        'Return only tasks that follow this cursor. Pages go forward only: there is no `before` and no `last`. To start at the other end of the list, reverse `orderBy`.',
    }),
  }));
}

type ListArguments = InputShapeFromFields<ReturnType<typeof listArguments>>;

/** The cost of a list field: the cost of its selection, times the page length. */
export function costOfList({ filter, first }: Pick<ListArguments, 'filter' | 'first'>) {
  return { requests: requestsOf(filter), multiplier: lengthOf(first) };
}

/** As `costOfList`, but read together with the lists of other sources. */
export function costOfSourceList({ filter, first }: Pick<ListArguments, 'filter' | 'first'>) {
  const length = lengthOf(first);
  const requests = requestsOf(filter);
  return {
    ...(requests > 1 ? { requests } : { rows: Math.max(length, ROWS_PER_SOURCE) }),
    multiplier: length,
  };
}

function lengthOf(first: ListArguments['first']): number {
  return Math.min(PAGE_LIMIT, Math.max(1, first ?? PAGE_LIMIT));
}

/** Reads the page of a list field, but only the parts that the operation selects. */
export async function resolveConnection(
  { orderBy, first, after }: ListArguments,
  filter: TaskFilter,
  { caller, read, omitted }: Context,
  info: GraphQLResolveInfo,
): Promise<TaskSlice> {
  const selected = {
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
    selected,
  };
  const slice = await caller.session.list(request, read);
  for (const error of slice.faults) omitted.push({ path: responsePathAsArray(info.path), error });
  return slice;
}
