import type { Clock } from '../clock.ts';
import { GatewayError } from '../errors.ts';
import { LATE_BY_MS } from '../progress/known-head.ts';
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

/** Reads the heads of lists: their newest tasks. */
export interface ListHeads {
  read(request: HeadRequest, options: CallOptions): Promise<ListHead>;
  /** Returns one promise for each list. Lists that differ only in their sources share requests. */
  readAll(requests: readonly HeadRequest[], options: CallOptions): Promise<ListHead>[];
}

// The tasks of one minute are rarely more than this. If they are, full pages follow.
const FIRST_PAGE = 25;

/** Reads through `api`; `clock` dates each head. */
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

  /** Groups lists whose heads fit one request. */
  function groupsOf(requests: readonly HeadRequest[]): HeadRequest[][] {
    const groups = new Map<string, HeadRequest[]>();
    const closed: HeadRequest[][] = [];
    for (const request of requests) {
      const { sourceIds, ...others } = request.filter;
      if (sourceIds === undefined || request.since === null) {
        closed.push([request]);
        continue;
      }
      const key = JSON.stringify(others);
      const group = groups.get(key);
      if (group !== undefined && api.fits(headQuery(joinedFilter([...group, request]))))
        group.push(request);
      else {
        // The previous group is full.
        if (group !== undefined) closed.push(group);
        groups.set(key, [request]);
      }
    }
    return [...closed, ...groups.values()];
  }

  /**
   * Reads the heads of several lists in one walk. Null if the rows do not say which list they
   * belong to.
   */
  async function readJoined(
    group: readonly HeadRequest[],
    options: CallOptions,
  ): Promise<Map<HeadRequest, RowHead> | null> {
    const since = Math.min(...group.map(request => request.since ?? -Infinity));
    const watchers = whenAllAbort(group.map(({ signal }) => signal));
    const request = { filter: joinedFilter(group), since, signal: watchers.signal };
    const head = await readOne(request, options)
      .catch((error: unknown) => {
        // Upstream may refuse a joined request even though it accepts each part of it.
        if (error instanceof GatewayError && error.code === 'BAD_USER_INPUT') return null;
        throw error;
      })
      .finally(watchers.close);
    const sourceIds = new Set(joinedFilter(group).sourceIds);
    if (!head?.rows.every(row => isOfSources(row, sourceIds))) return null;
    return new Map(
      group.map(request => {
        const own = new Set(request.filter.sourceIds);
        return [request, { ...head, rows: head.rows.filter(row => isOfSources(row, own)) }];
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
    // Read before the list: a task that ends between the two reads is then on the list.
    const head = await api.unlisted(filter, options);
    const fetchPage = async (offset: number, limit: number) => {
      const page = await api.list({ filter, order: 'CREATED_DESC', offset, limit }, options);
      // Use the slower clock. A clock that is ahead would hide tasks that were just created.
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

/** Whether a row belongs to one of the sources. An unreadable row may belong to any. */
function isOfSources(row: Row, sourceIds: ReadonlySet<string>): boolean {
  return row instanceof UnreadableTask || sourceIds.has(row.target?.id ?? '');
}
