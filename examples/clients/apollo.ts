import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from '@apollo/client';
import { CombinedGraphQLErrors } from '@apollo/client/errors';
import { SetContextLink } from '@apollo/client/link/context';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { relayStylePagination } from '@apollo/client/utilities';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import {
  EMPTY,
  type Subscription,
  concatMap,
  concatWith,
  defer,
  lastValueFrom,
  map,
  retry,
  throwError,
  timer,
} from 'rxjs';
import {
  TaskChangesDocument,
  TaskDocument,
  TaskProgressDocument,
  type TaskRowFragment,
  type TaskStatusFilter,
  TasksDocument,
  type TasksQuery,
} from './generated/graphql.ts';
import { type LiveList, createListUpdate, isTransient, retryDelayMs } from './live-list.ts';

/** The variables of `Tasks` that show the running tasks. */
export const RUNNING = {
  filter: { completionStatus: { isNull: true } } satisfies TaskStatusFilter,
  first: 50,
};

export interface ClientOptions {
  /** The gateway's `/graphql`. */
  url: string;
  /** The caller's token; read again for each request and each connection. */
  token?: () => string;
}

/**
 * Queries over HTTP, subscriptions over one WebSocket. Needs a global WebSocket, which Node 20
 * lacks.
 */
export function createTaskClient({ url, token }: ClientOptions): ApolloClient {
  const headers = (): Record<string, string> =>
    token ? { authorization: `Bearer ${token()}` } : {};
  const sockets = createClient({
    url: url.replace(/^http/, 'ws'),
    connectionParams: headers,
    // A silent retry would hide that the stream begins again. `followRunningTasks` has to know.
    retryAttempts: 0,
  });
  return new ApolloClient({
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(sockets),
      new SetContextLink(context => ({ headers: { ...context.headers, ...headers() } })).concat(
        new HttpLink({ uri: url }),
      ),
    ),
    cache: createCache(),
  });
}

/** A cache in which tasks, sources and identities are entities, and lists grow page by page. */
export function createCache(): InMemoryCache {
  return new InMemoryCache({
    typePolicies: {
      Query: {
        fields: {
          taskStatuses: relayStylePagination(['filter', 'orderBy']),
          taskStatusCounts: { merge: true },
        },
      },
      Source: {
        fields: {
          tasks: relayStylePagination(['filter', 'orderBy']),
          taskCounts: { merge: true },
        },
      },
      TaskStatus: { fields: { accountAggregation: { merge: true }, target: { merge: true } } },
      // Their `id` is that of something else: of the source or identity, or of the definition. As
      // entities, tasks would overwrite each other's.
      Target: { keyFields: false },
      TaskDefinitionSummary: { keyFields: false },
    },
  });
}

/** Reads a task, with its messages; null if there is none. */
export async function readTask(client: ApolloClient, id: string) {
  const { data } = await client.query({
    query: TaskDocument,
    variables: { id },
    fetchPolicy: 'network-only',
  });
  return data?.taskStatus ?? null;
}

/** Resolves to the last state of a task once it is COMPLETED. The cache has each state before. */
export async function followTask(client: ApolloClient, id: string): Promise<TaskRowFragment> {
  const results = client.subscribe({ query: TaskProgressDocument, variables: { id } });
  return lastValueFrom(
    results.pipe(
      map(({ data, error }) => {
        if (!data) throw error ?? new Error('The gateway sent no task.');
        return data.taskProgress;
      }),
    ),
  );
}

/**
 * Keeps the `Tasks` query of `RUNNING` in the cache equal to what runs, over any number of
 * connections. Calls `onEnded` with each task that has ended, or null for one that was deleted or
 * is unreadable.
 */
export function followRunningTasks(
  client: ApolloClient,
  {
    onEnded = () => {},
    onError,
    delayMs = retryDelayMs,
  }: {
    onEnded?: (task: TaskRowFragment | null) => void;
    onError: (error: unknown) => void;
    delayMs?: (attempt: number) => number;
  },
): Subscription {
  const list = createCachedList(client, onEnded);
  return defer(() => {
    const update = createListUpdate(list, id => readTask(client, id).catch(toUnreadable));
    const { filter } = RUNNING;
    let failure: unknown;
    return client.subscribe({ query: TaskChangesDocument, variables: { filter } }).pipe(
      concatMap(async ({ data, error }) => {
        // A stream goes on after an event that fails, if only that task is unreadable.
        failure = error;
        if (data) await update(data.taskStatusChanged);
      }),
      concatWith(defer(() => (failure ? throwError(() => failure) : EMPTY))),
    );
  })
    .pipe(
      retry({
        delay: (error, attempt) =>
          isTransient(codeOf(error)) ? timer(delayMs(attempt)) : throwError(() => error),
        resetOnSuccess: true,
      }),
    )
    .subscribe({ error: onError });
}

/** The running tasks in the cache, newest first. */
function createCachedList(
  { cache }: ApolloClient,
  onEnded: (task: TaskRowFragment | null) => void,
): LiveList<TaskRowFragment> {
  const options = { query: TasksDocument, variables: RUNNING };
  const read = () => (cache.readQuery(options)?.taskStatuses.edges ?? []).map(({ node }) => node);
  const replace = (tasks: TaskRowFragment[]) => {
    const edges = tasks
      .toSorted((one, other) => other.created.localeCompare(one.created))
      .map(node => ({ __typename: 'TaskStatusEdge' as const, cursor: '', node }));
    // A live list is complete: it has no next page, and no cursors.
    const pageInfo = { __typename: 'PageInfo' as const, hasNextPage: false, endCursor: null };
    const data: TasksQuery = { taskStatuses: { edges, pageInfo } };
    cache.writeQuery({ ...options, data });
  };
  return {
    ids: () => read().map(({ id }) => id),
    replace,
    put: task => {
      const tasks = read();
      // The subscription's result has already updated a task that is in the cache.
      if (!tasks.some(({ id }) => id === task.id)) replace([...tasks, task]);
    },
    remove: (removed, ended) => {
      const tasks = read();
      if (tasks.some(({ id }) => id === removed)) replace(tasks.filter(({ id }) => id !== removed));
      onEnded(ended);
    },
  };
}

/**
 * An unreadable task is left out, like a deleted one. Any other failure is a reason to connect
 * again.
 */
function toUnreadable(error: unknown): null {
  if (codeOf(error) === 'UPSTREAM_INVALID_RESPONSE') return null;
  throw error;
}

function codeOf(error: unknown): unknown {
  return CombinedGraphQLErrors.is(error) ? error.errors[0]?.extensions?.['code'] : undefined;
}
