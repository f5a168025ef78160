import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { LATE_BY_MS } from '../progress/list-watch.ts';
import type { HeadRequest, ListHead } from '../progress/source.ts';
import type { TaskFilter } from '../task/filter.ts';
import type { TaskStatusApi } from '../upstream/api.ts';
import type { CallOptions } from '../upstream/endpoints.ts';
import { walkList } from '../upstream/list-walk.ts';
import { type Row, UnreadableTask } from '../upstream/wire.ts';
import { tooLong } from './page-reader.ts';
import { whenAllAbort } from './shared-request.ts';

interface RowHead {
  rows: Row[];
  asOf: number;
}

/** Reads the newest tasks of lists. */
export interface ListHeads {
  read(request: HeadRequest, options: CallOptions): Promise<ListHead>;
  /** Each list has a result of its own. Lists that differ only in their sources are read together. */
  readAll(requests: readonly HeadRequest[], options: CallOptions): Promise<ListHead>[];
}

// A minute of a list is seldom more; where it is, full pages follow.
const FIRST_PAGE = 25;

export function createListHeads(
  api: Pick<TaskStatusApi, 'list' | 'fits' | 'unlisted'>,
  clock: Clock,
): ListHeads {
  return {
    read: async (request, options) => toListHead(await readOne(request, options)),
    readAll(requests, options) {
      const joined = new Map<HeadRequest, Promise<Map<HeadRequest, RowHead> | null>>();
      for (const group of groupsOf(requests).filter(({ length }) => length > 1)) {
        const heads = readJoined(group, options);
        for (const request of group) joined.set(request, heads);
      }
      return requests.map(async request => {
        const heads = await joined.get(request);
        return toListHead(heads?.get(request) ?? (await readOne(request, options)));
      });
    },
  };

  /** Lists whose heads one request can hold, in groups. */
  function groupsOf(requests: readonly HeadRequest[]): HeadRequest[][] {
    const groups = new Map<string, HeadRequest[]>();
    const alone: HeadRequest[][] = [];
    for (const request of requests) {
      const { sourceIds, ...others } = request.filter;
      if (sourceIds === undefined || request.since === null) {
        alone.push([request]);
        continue;
      }
      const key = JSON.stringify(others);
      const group = groups.get(key);
      if (group !== undefined && api.fits(headQuery(joinedFilter([...group, request]))))
        group.push(request);
      else {
        // The one before is full.
        if (group !== undefined) alone.push(group);
        groups.set(key, [request]);
      }
    }
    return [...alone, ...groups.values()];
  }

  /** The head of each list, from one walk over all of them; null where rows cannot be told apart. */
  async function readJoined(
    group: readonly HeadRequest[],
    options: CallOptions,
  ): Promise<Map<HeadRequest, RowHead> | null> {
    const since = Math.min(...group.map(request => request.since ?? -Infinity));
    const watchers = whenAllAbort(group.map(({ signal }) => signal));
    const request = { filter: joinedFilter(group), since, signal: watchers.signal };
    const head = await readOne(request, options)
      .catch((error: unknown) => {
        // Upstream may refuse a joined request though it accepts each part of it.
        if (error instanceof GatewayError && error.code === 'BAD_USER_INPUT') return null;
        throw error;
      })
      .finally(watchers.close);
    const sourceIds = new Set(joinedFilter(group).sourceIds);
    if (!head?.rows.every(row => isOfOne(row, sourceIds))) return null;
    return new Map(
      group.map(request => {
        const own = new Set(request.filter.sourceIds);
        return [request, { ...head, rows: head.rows.filter(row => isOfOne(row, own)) }];
      }),
    );
  }

  async function readOne(
    { filter, since, signal }: HeadRequest,
    callOptions: CallOptions,
  ): Promise<RowHead> {
    const options = { ...callOptions, signal: signal ?? callOptions.signal };
    if (!api.fits(headQuery(filter))) throw tooLong();
    let asOf = clock.now();
    // Before the list: a task that ends between the two is then on the list.
    const head = await api.unlisted(filter, options);
    const fetchPage = async (offset: number, limit: number) => {
      const page = await api.list({ filter, order: 'CREATED_DESC', offset, limit }, options);
      // The slower clock: one that is ahead would hide tasks that were created just now.
      asOf = Math.min(asOf, page.date ?? Infinity);
      return page.rows;
    };
    let oldest = since;
    const walk = { firstPage: FIRST_PAGE };
    for await (const page of walkList({ order: 'CREATED_DESC', fetchPage }, walk)) {
      const rows = page.map(({ row }) => row);
      oldest ??= oldestOf(rows, asOf);
      const bound = oldest ?? -Infinity;
      head.push(...rows.filter(row => row instanceof UnreadableTask || row.created >= bound));
      if (rows.some(row => !(row instanceof UnreadableTask) && row.created < bound)) break;
    }
    return { rows: head, asOf };
  }
}

function toListHead({ rows, asOf }: RowHead): ListHead {
  return { rows: rows.map(row => (row instanceof UnreadableTask ? row.error : row)), asOf };
}

function oldestOf(rows: readonly Row[], asOf: number): number | null {
  const newest = rows.find(row => !(row instanceof UnreadableTask));
  return newest === undefined || newest instanceof UnreadableTask
    ? null
    : Math.min(newest.created, asOf) - LATE_BY_MS;
}

function joinedFilter(group: readonly HeadRequest[]): TaskFilter {
  const sourceIds = new Set(group.flatMap(({ filter }) => filter.sourceIds ?? []));
  return { ...group[0]?.filter, sourceIds: [...sourceIds] };
}

function headQuery(filter: TaskFilter) {
  return { filter, order: 'CREATED_DESC', limit: 250, offset: 2 ** 31 - 1 } as const;
}

/** A row that cannot be read may be of any source. */
function isOfOne(row: Row, sourceIds: ReadonlySet<string>): boolean {
  return row instanceof UnreadableTask || sourceIds.has(row.target?.id ?? '');
}
