import { print } from 'graphql';
import { type Client, createClient } from 'graphql-sse';
import type { TadaDocumentNode } from 'gql.tada';
import { type LiveList, createListUpdate, isTransient, retryDelayMs } from './live-list.ts';
import { type ResultOf, graphql } from './tada.ts';

const TaskRow = graphql(`
  fragment TaskRow on TaskStatus @_unmask {
    id
    uniqueName
    created
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
const CHANGES = graphql(
  `
    subscription TaskChanges($filter: TaskStatusFilter) {
      taskStatusChanged(filter: $filter, snapshot: true) {
        kind
        taskStatus {
          ...TaskRow
        }
      }
    }
  `,
  [TaskRow],
);

export type Task = ResultOf<typeof TaskRow>;

/** The errors of a result. Its message is that of the first. */
export class ResultError extends Error {
  override readonly name = 'ResultError';
  readonly code: unknown;

  constructor(errors: readonly { message: string; extensions?: Record<string, unknown> }[]) {
    super(errors[0]?.message);
    this.code = errors[0]?.extensions?.['code'];
  }
}

/** A client of the gateway at `url`, its `/graphql`. `token` is read again for each operation. */
export function createTaskClient(url: string, token?: () => string): Client {
  return createClient({
    url,
    headers: (): Record<string, string> => (token ? { authorization: `Bearer ${token()}` } : {}),
    // A silent retry would hide that the stream begins again. `followRunningTasks` has to know.
    retryAttempts: 0,
  });
}

/** Reads a task; null if there is none. */
export async function readTask(client: Client, id: string): Promise<Task | null> {
  for await (const { taskStatus } of resultsOf(client, TASK, { id })) return taskStatus;
  throw new Error('The gateway sent no result.');
}

/** The states of a task, until it is COMPLETED. */
export async function* followTask(client: Client, id: string): AsyncGenerator<Task> {
  for await (const { taskProgress } of resultsOf(client, PROGRESS, { id })) yield taskProgress;
}

/**
 * Keeps a list equal to the running tasks, over any number of connections, until `signal` aborts.
 * Throws what another attempt cannot mend, a refused filter or token for example.
 */
export async function followRunningTasks(
  client: Client,
  list: LiveList<Task>,
  {
    signal,
    delayMs = retryDelayMs,
  }: { signal: AbortSignal; delayMs?: (attempt: number) => number },
): Promise<void> {
  const filter = { completionStatus: { isNull: true } };
  for (let attempt = 1; !signal.aborted; attempt++) {
    try {
      const update = createListUpdate(list, id => readTask(client, id).catch(toUnreadable));
      for await (const { taskStatusChanged } of resultsOf(client, CHANGES, { filter }, signal)) {
        await update(taskStatusChanged);
        attempt = 1;
      }
      return;
    } catch (error) {
      if (error instanceof ResultError && !isTransient(error.code)) throw error;
    }
    await wait(delayMs(attempt), signal);
  }
}

/**
 * An unreadable task is left out, like a deleted one. Any other failure is a reason to connect
 * again.
 */
function toUnreadable(error: unknown): null {
  if (error instanceof ResultError && error.code === 'UPSTREAM_INVALID_RESPONSE') return null;
  throw error;
}

async function* resultsOf<Data, Variables extends Record<string, unknown>>(
  client: Client,
  document: TadaDocumentNode<Data, Variables>,
  variables: Variables,
  signal?: AbortSignal,
): AsyncGenerator<Data> {
  const results = client.iterate<Data>({ query: print(document), variables });
  const stop = () => void results.return?.();
  let failure: ResultError | null = null;
  signal?.addEventListener('abort', stop);
  try {
    for await (const { data, errors } of results) {
      // A stream goes on after an event that fails, if only that task is unreadable.
      failure = errors ? new ResultError(errors) : null;
      if (data && !errors) yield data;
    }
    if (failure) throw failure;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** Resolves after the time, or at once when the signal aborts. */
function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
  });
}
