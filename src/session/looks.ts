import type { GatewayError } from '../errors.ts';
import type { TaskSource } from '../progress/source.ts';
import type { Task } from '../task/task.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import { PAGE_LIMIT } from '../upstream/query.ts';
import { MalformedTask, type Row } from '../upstream/wire.ts';
import type { TaskLoader } from './loader.ts';

/** What watches read, over the REST API: the first state as any reader does, looks behind readers. */
export function createTaskSource(api: TaskStatusApi, loader: TaskLoader): TaskSource {
  const options = { lane: 'look' } as const;
  return {
    load: id => loader.load(id),
    async read(ids) {
      const rows = await api.byIds(ids, options);
      return new Map([...rows].map(([id, row]) => [id, toResult(row)]));
    },
    async confirm(id) {
      const row = await api.byId(id, options);
      return row === null ? null : toResult(row);
    },
    async running(filter) {
      const rows = await api.running(filter, options);
      return rows.map(toResult);
    },
    async newest(filter, offset) {
      const { rows } = await api.list(
        { filter, order: 'CREATED_DESC', offset, limit: PAGE_LIMIT },
        options,
      );
      return { tasks: rows.map(toResult), isLast: rows.length < PAGE_LIMIT };
    },
  };
}

function toResult(row: Row): Task | GatewayError {
  return row instanceof MalformedTask ? row.error : row;
}
