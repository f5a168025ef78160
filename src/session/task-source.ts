import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { TaskRow, TaskSource } from '../progress/source.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { CallOptions } from '../upstream/endpoints.ts';
import { walkList } from '../upstream/list-walk.ts';
import { UnreadableTask, type Row } from '../upstream/wire.ts';
import { createListHeads } from './list-heads.ts';
import type { TaskLoader } from './loader.ts';
import type { Memory } from './memory.ts';
import { tooLong } from './paging.ts';
import { createPollPlanner } from './poll-planner.ts';

export interface TaskSourceParts {
  api: TaskStatusApi;
  tasks: TaskLoader;
  memory: Memory;
  clock: Clock;
}

// Reads that a caller waits for. Polls have lanes of their own.
const INTERACTIVE = { lane: 'interactive' } as const;
const TASK_POLL = { lane: 'task-poll' } as const;
const LIST_POLL = { lane: 'list-poll' } as const;

/** Reads tasks for watches over the REST API. */
export function createTaskSource({ api, tasks, memory, clock }: TaskSourceParts): TaskSource {
  const planner = createPollPlanner(api);
  const heads = createListHeads(api, clock);
  return {
    load: id => tasks.load(id),
    pressure: () => api.pressure(),
    async poll(ids) {
      const requestedAt = clock.monotonic();
      const rows = await planner.read(ids, TASK_POLL);
      // Polled tasks are served to queries too.
      for (const row of rows.values())
        if (!(row instanceof UnreadableTask)) memory.keepTask(row.id, row, requestedAt);
      return new Map([...rows].map(([id, row]) => [id, toTaskRow(row)]));
    },
    async confirm(id) {
      const row = await api.byId(id, TASK_POLL);
      return row === null ? null : toTaskRow(row);
    },
    pollHeads: requests => heads.readAll(requests, LIST_POLL),
    readHead: request => readOrWait(options => heads.read(request, options)),
    running: (filter, signal) =>
      readOrWait(async options =>
        (await api.running(filter, { ...options, signal })).map(toTaskRow),
      ),
    async *snapshot(filter, signal) {
      const options = { ...INTERACTIVE, signal };
      const order = 'CREATED_DESC';
      if (!api.fits({ filter, order, offset: 2 ** 31 - 1, limit: 250 })) throw tooLong();
      yield (await api.unlisted(filter, options)).map(toTaskRow);
      const fetchPage = async (offset: number, limit: number) =>
        (await api.list({ filter, order, offset, limit }, options)).rows;
      for await (const page of walkList({ order, fetchPage }))
        yield page.map(({ row }) => toTaskRow(row));
    },
  };
}

/** Reads in the interactive lane; if that refuses, waits for budget in the lane of list polls. */
async function readOrWait<T>(read: (options: CallOptions) => Promise<T>): Promise<T> {
  try {
    return await read(INTERACTIVE);
  } catch (error) {
    if (!(error instanceof GatewayError) || error.code !== 'RATE_LIMITED') throw error;
    return read(LIST_POLL);
  }
}

function toTaskRow(row: Row): TaskRow {
  return row instanceof UnreadableTask ? row.error : row;
}
