import type { Clock } from '../clock.ts';
import type { GatewayError } from '../errors.ts';
import type { TaskSource } from '../progress/source.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { Task } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import { UnreadableTask, type Row } from '../upstream/wire.ts';
import { createLookPlanner } from './look-planner.ts';
import type { TaskLoader } from './loader.ts';
import type { Memory } from './memory.ts';
import { tooLong } from './paging.ts';

export interface TaskSourceParts {
  api: TaskStatusApi;
  tasks: TaskLoader;
  memory: Memory;
  clock: Clock;
}

/** What watches read, over the REST API: the first state as every reader does, looks behind readers. */
export function createTaskSource({ api, tasks, memory, clock }: TaskSourceParts): TaskSource {
  const options = { lane: 'task-poll' } as const;
  const planner = createLookPlanner(api);
  return {
    load: id => tasks.load(id),
    pressure: () => api.pressure(),
    async read(ids) {
      const askedAt = clock.monotonic();
      const rows = await planner.read(ids, options);
      // What a watch saw answers readers too.
      for (const row of rows.values())
        if (!(row instanceof UnreadableTask)) memory.keepTask(row.id, row, askedAt);
      return new Map([...rows].map(([id, row]) => [id, toResult(row)]));
    },
    async confirm(id) {
      const row = await api.byId(id, options);
      return row === null ? null : toResult(row);
    },
    running,
    unlisted: async filter => (api.listsRunning ? [] : running(filter)),
    async newest(filter, offset) {
      const query = { filter, order: 'CREATED_DESC', offset, limit: PAGE_LIMIT } as const;
      if (!api.fits(query)) throw tooLong();
      const { rows } = await api.list(query, options);
      return { tasks: rows.map(toResult), isLast: rows.length < PAGE_LIMIT };
    },
  };

  async function running(filter: TaskFilter): Promise<(Task | GatewayError)[]> {
    const rows = await api.running(filter, options);
    return rows.map(toResult);
  }
}

function toResult(row: Row): Task | GatewayError {
  return row instanceof UnreadableTask ? row.error : row;
}
