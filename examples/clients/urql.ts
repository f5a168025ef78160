import { Client, cacheExchange, fetchExchange, subscriptionExchange } from '@urql/core';
import { createClient } from 'graphql-sse';
import { type Exact, type ResultOf, type VariablesOf, graphql } from './tada.ts';

const TaskRow = graphql(`
  fragment TaskRow on TaskStatus @_unmask {
    id
    uniqueName
    state
    completionStatus
    effectivePercentComplete
  }
`);
const TASK = graphql(
  `
    query Task($id: ID!) {
      taskStatus(id: $id) {
        ...TaskRow
      }
    }
  `,
  [TaskRow],
);
const TASKS = graphql(
  `
    query Tasks($filter: TaskStatusFilter, $first: Int!, $after: String) {
      taskStatuses(filter: $filter, first: $first, after: $after) {
        nodes {
          ...TaskRow
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  `,
  [TaskRow],
);
const PROGRESS = graphql(
  `
    subscription TaskProgress($id: ID!) {
      taskProgress(id: $id) {
        ...TaskRow
      }
    }
  `,
  [TaskRow],
);

export type Task = ResultOf<typeof TaskRow>;
export type TaskFilter = Exact<VariablesOf<typeof TASKS>['filter']>;

/** A client of the gateway at `url`, its `/graphql`. `token` is read again for each operation. */
export function createTaskClient(url: string, token?: () => string): Client {
  const headers = (): Record<string, string> =>
    token ? { authorization: `Bearer ${token()}` } : {};
  const events = createClient({ url, headers });
  return new Client({
    url,
    preferGetMethod: false,
    fetchOptions: () => ({ headers: headers() }),
    exchanges: [
      cacheExchange,
      fetchExchange,
      // Not `fetchSubscriptions`: its requests end in an unhandled AbortError when unsubscribed.
      subscriptionExchange({
        forwardSubscription: ({ query = '', variables }) => ({
          subscribe: sink => ({ unsubscribe: events.subscribe({ query, variables }, sink) }),
        }),
      }),
    ],
  });
}

/** Reads a task; null if there is none. */
export async function readTask(client: Client, id: string): Promise<Task | null> {
  const { data, error } = await client.query(TASK, { id }, { requestPolicy: 'network-only' });
  if (!data) throw error ?? new Error('The gateway sent no result.');
  return data.taskStatus;
}

/** Reads the tasks of a list page by page, `first` at a time. */
export async function* readPages(
  client: Client,
  { filter, first }: { filter: TaskFilter; first: number },
): AsyncGenerator<Task[]> {
  let after: string | null = null;
  do {
    // The cast keeps the type from depending on itself, through `after`.
    const { data, error } = (await client.query(TASKS, { filter, first, after })) as {
      data?: ResultOf<typeof TASKS>;
      error?: Error;
    };
    if (!data) throw error ?? new Error('The gateway sent no result.');
    const { nodes, pageInfo } = data.taskStatuses;
    yield nodes;
    after = pageInfo.hasNextPage ? pageInfo.endCursor : null;
  } while (after !== null);
}

/** Calls `onState` with each state of a task. Resolves once the task is COMPLETED. */
export function followTask(
  client: Client,
  id: string,
  onState: (task: Task) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const { unsubscribe } = client.subscription(PROGRESS, { id }).subscribe(({ data, error }) => {
      if (data) onState(data.taskProgress);
      const isCompleted = data?.taskProgress.state === 'COMPLETED';
      if (error) reject(error);
      else if (isCompleted) resolve();
      // Not now: the first result may come before `unsubscribe` is assigned.
      if (error || isCompleted) queueMicrotask(() => unsubscribe());
    });
  });
}
