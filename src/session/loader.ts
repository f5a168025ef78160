import DataLoader from 'dataloader';
import type { Task } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import { MalformedTask } from '../upstream/wire.ts';

/** Tasks by id, read in batches. */
export interface TaskLoader {
  /** Null where upstream has no such task. Rejects for a task that cannot be read, and only for that. */
  load(id: string): Promise<Task | null>;
}

/** How long wishes gather before they are sent, in milliseconds. */
const GATHER_MS = 2;

/** Joins the wishes for a task by id, from whichever operation, into pages of upstream. */
export function createTaskLoader(api: Pick<TaskStatusApi, 'byIds'>): TaskLoader {
  const loader = new DataLoader<string, Task | null>(readBatch, {
    batchScheduleFn: dispatch => setTimeout(dispatch, GATHER_MS),
  });
  return loader;

  async function readBatch(ids: readonly string[]): Promise<(Task | Error | null)[]> {
    // The memo joins equal wishes while a batch gathers; it is not a cache.
    loader.clearAll();
    const rows = await api.byIds(ids);
    // Upstream sorts as it likes and leaves out what it does not know: match by id, never by place.
    return ids.map(id => {
      const row = rows.get(id) ?? null;
      return row instanceof MalformedTask ? row.error : row;
    });
  }
}
