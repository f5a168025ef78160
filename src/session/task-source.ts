import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import type { TaskRow, TaskSource } from '../progress/source.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { CallOptions } from '../upstream/endpoints.ts';
import { walkList } from '../upstream/list-walk.ts';
import { UnreadableTask, type Row } from '../upstream/wire.ts';
import { upstreamPartOf } from '../task/filter.ts';
import type { BoundSearch } from './bound-search.ts';
import { toOrderedRange } from './created-range.ts';
import { createListHeads } from './list-heads.ts';
import type { TaskLoader } from './loader.ts';
import type { Memory } from './memory.ts';
import { tooLong } from './page-reader.ts';
import { createPollPlanner } from './poll-planner.ts';

export interface TaskSourceParts {
  api: TaskStatusApi;
  tasks: TaskLoader;
  memory: Memory;
  bounds: BoundSearch;
  clock: Clock;
}

// Reads that a caller waits for. Polls have lanes of their own.
const INTERACTIVE = { lane: 'interactive' } as const;
const TASK_POLL = { lane: 'task-poll' } as const;
const LIST_POLL = { lane: 'list-poll' } as const;

/** Reads tasks for watches over the REST API. */
export function createTaskSource({
  api,
  tasks,
  memory,
  bounds,
  clock,
}: TaskSourceParts): TaskSource {
  const planner = createPollPlanner(api);
  const heads = createListHeads(api, clock);
  return {
    load: id => tasks.load(id),
    pressure: () => api.pressure(),
    async poll(ids, usage) {
      const requestedAt = clock.monotonic();
      const found = new Map<string, TaskRow>();
      const keep = (id: string, row: Row) => {
        // Polled tasks are served to queries too.
        if (!(row instanceof UnreadableTask)) memory.keepTask(id, row, requestedAt);
        found.set(id, toTaskRow(row));
      };
      await planner.read(ids, keep, { ...TASK_POLL, usages: [usage] });
      return found;
    },
    async confirm(id, usage) {
      const row = await api.byId(id, { ...TASK_POLL, usages: [usage] });
      return row === null ? null : toTaskRow(row);
    },
    pollHeads: (requests, usage) => heads.readAll(requests, { ...LIST_POLL, usages: [usage] }),
    readHead: request => readOrWait(options => heads.read(request, options)),
    running: (filter, signal) =>
      readOrWait(async options =>
        (await api.running(filter, { ...options, signal })).map(toTaskRow),
      ),
    async *snapshot(filter, signal) {
      const options = { ...INTERACTIVE, signal };
      const order = 'CREATED_DESC';
      const listed = upstreamPartOf(filter);
      if (!api.fits({ filter: listed, order, offset: 2 ** 31 - 1, limit: 250 })) throw tooLong();
      const range = toOrderedRange(filter.created, order);
      const isOutside = (row: Row) =>
        !(row instanceof UnreadableTask) &&
        (range.isBefore(row.created) || range.isPast(row.created));
      const unlisted = await api.unlisted(listed, options);
      yield unlisted.filter(row => !isOutside(row)).map(toTaskRow);
      const start = await range.start(clock.now(), date =>
        bounds.find(JSON.stringify(listed), date, (offset, limit) =>
          api.list({ filter: listed, order: 'CREATED_ASC', offset, limit, count: true }, options),
        ),
      );
      const fetchPage = async (offset: number, limit: number) =>
        (await api.list({ filter: listed, order, offset, limit }, options)).rows;
      for await (const page of walkList({ order, fetchPage }, { after: start })) {
        const rows = page.map(({ row }) => row);
        yield rows.filter(row => !isOutside(row)).map(toTaskRow);
        if (rows.some(row => !(row instanceof UnreadableTask) && range.isPast(row.created))) return;
      }
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
