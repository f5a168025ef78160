import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { InfiniteQueryObserver, type QueryClient } from '@tanstack/query-core';
import { print } from 'graphql';
import { createClient } from 'graphql-sse';
import {
  TaskDocument,
  TaskProgressDocument,
  type TaskRowFragment,
  type TaskStatusFilter,
  TasksDocument,
} from './generated/graphql.ts';

/** Sends an operation over HTTP. Throws the first error of the result. */
export async function request<Data, Variables>(
  url: string,
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  signal?: AbortSignal,
): Promise<Data> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json',
      'content-type': 'application/json',
    },
    body: JSON.stringify({ query: print(document), variables }),
    ...(signal && { signal }),
  });
  const { data, errors } = (await response.json()) as {
    data?: Data | null;
    errors?: { message: string }[];
  };
  if (!data || errors) throw new Error(errors?.[0]?.message ?? `HTTP ${response.status}`);
  return data;
}

/**
 * The query of one task: `useQuery(taskQuery(url, id))`. Its data is null if there is no such task.
 */
export function taskQuery(url: string, id: string) {
  return {
    queryKey: ['task', id],
    queryFn: async ({ signal }: { signal: AbortSignal }): Promise<TaskRowFragment | null> =>
      (await request(url, TaskDocument, { id }, signal)).taskStatus,
  };
}

/** The query of a list that grows page by page: `useInfiniteQuery(tasksQuery(url, filter, 50))`. */
export function tasksQuery(url: string, filter: TaskStatusFilter, first: number) {
  return {
    queryKey: ['tasks', filter, first],
    queryFn: async ({ pageParam, signal }: { pageParam: string | null; signal: AbortSignal }) =>
      (await request(url, TasksDocument, { filter, first, after: pageParam }, signal)).taskStatuses,
    initialPageParam: null as string | null,
    getNextPageParam: ({
      pageInfo,
    }: {
      pageInfo: { hasNextPage: boolean; endCursor: string | null };
    }) => (pageInfo.hasNextPage ? pageInfo.endCursor : null),
  };
}

/** A list that grows page by page, where there is no framework. */
export function observeTasks(queries: QueryClient, ...query: Parameters<typeof tasksQuery>) {
  return new InfiniteQueryObserver(queries, tasksQuery(...query));
}

/** Writes each state of a task to its query. Resolves once the task is COMPLETED. */
export async function followTask(queries: QueryClient, url: string, id: string): Promise<void> {
  const client = createClient({ url });
  try {
    const results = client.iterate<{ taskProgress: TaskRowFragment }>({
      query: print(TaskProgressDocument),
      variables: { id },
    });
    for await (const { data, errors } of results) {
      if (!data || errors) throw new Error(errors?.[0]?.message ?? 'The gateway sent no task.');
      queries.setQueryData<TaskRowFragment | null>(taskQuery(url, id).queryKey, data.taskProgress);
    }
  } finally {
    client.dispose();
  }
}
