import { useEffect, useState } from 'preact/hooks';
import { TASK_DETAIL } from './documents.ts';
import type { GatewayClient, OperationError } from './gateway-client.ts';
import type { TaskDetail } from './task.ts';

/** A change of progress that arrived while the pane was open. */
export interface Observation {
  /** Milliseconds since 1970, by the gateway's clock. */
  at: number;
  percent: number;
  progress: string | null;
}

/** A task and how it came there, as far as it was followed. */
export interface TaskHistory {
  task: TaskDetail | null;
  observations: readonly Observation[];
  error: OperationError | null;
}

const MAX_OBSERVATIONS = 100;
const RETRY_MS = 3_000;
const NOTHING: TaskHistory = { task: null, observations: [], error: null };

/** Follows one task until it ends. Connects again after a temporary failure. */
export function useTaskHistory(client: GatewayClient, id: string): TaskHistory {
  const [history, setHistory] = useState(NOTHING);
  useEffect(() => {
    let timer = 0;
    let disconnect = connect();
    return () => {
      clearTimeout(timer);
      disconnect();
    };

    function connect() {
      return client.subscribe<{ taskProgress: TaskDetail }>(
        TASK_DETAIL,
        { id },
        {
          next: ({ taskProgress }) =>
            setHistory(before =>
              toNext(before, { ...taskProgress, receivedAt: performance.now() }, client.now()),
            ),
          end: error => {
            if (error === null) return;
            setHistory(before => ({ ...before, error }));
            if (error.isTemporary)
              timer = setTimeout(() => {
                disconnect = connect();
              }, RETRY_MS);
          },
        },
      );
    }
  }, [client, id]);
  return history;
}

function toNext({ observations }: TaskHistory, task: TaskDetail, at: number): TaskHistory {
  const percent = task.effectivePercentComplete;
  const { progress } = task;
  const last = observations.at(-1);
  const isNew =
    task.state === 'RUNNING' && (last?.percent !== percent || last.progress !== progress);
  return {
    task,
    error: null,
    observations: isNew
      ? [...observations, { at, percent, progress }].slice(-MAX_OBSERVATIONS)
      : observations,
  };
}
