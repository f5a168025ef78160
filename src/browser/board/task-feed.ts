import { TASK_CHANGES, TASK_COUNTS } from './documents.ts';
import { type Filters, toTaskStatusFilter } from './filters.ts';
import { type GatewayClient, OperationError } from './gateway-client.ts';
import { SCREENFUL, readNewest } from './newest-tasks.ts';
import { type TaskChange, type TaskCounts, type TaskRow, countsOf, statusOf } from './task.ts';

/** How the list relates to the tenant. */
export type Phase =
  /** No answer yet. */
  | 'loading'
  /** Every change arrives. */
  | 'live'
  /** The connection is lost; the list is as it was then. */
  | 'stale'
  /** All tasks of a past range have ended; nothing can change any more. */
  | 'finished'
  /** The gateway wants a token, or another one. */
  | 'unauthenticated'
  /** The gateway refuses these filters or this caller. */
  | 'refused';

/** The list at one moment. A new object after each change. */
export interface FeedState {
  phase: Phase;
  tasks: readonly TaskRow[];
  /** Whether there are too many tasks for the list, so that `tasks` is only the newest of them. */
  isNewestOnly: boolean;
  counts: TaskCounts | null;
  /** Why the phase is not `live`; null if there is nothing to say. */
  message: string | null;
  /** Milliseconds since 1970 of the last moment at which the list was live; null: never. */
  liveUntil: number | null;
  /** The last end of a task, for screen readers. */
  announcement: string;
}

export interface TaskFeed {
  /** Connects, or connects again with other filters. */
  show(filters: Filters): void;
  /** Connects again at once. */
  retry(): void;
  close(): void;
}

/** The list before the first answer. */
export const NOTHING: FeedState = {
  phase: 'loading',
  tasks: [],
  isNewestOnly: false,
  counts: null,
  message: null,
  liveUntil: null,
  announcement: '',
};

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
// Where a status is in the filter, the tiles are counted upstream, which costs a request for each.
const COUNT_INTERVAL_MS = 15_000;
// As many as the gateway sends as a snapshot.
const MAX_TASKS = 5_000;
// A range that depends on the clock is asked for again if the clocks turn out to differ by more.
const MAX_SKEW_MS = 60_000;

/** Follows the tasks that match. `onChange` is called at most once per frame. */
export function createTaskFeed(
  client: GatewayClient,
  onChange: (state: FeedState) => void,
): TaskFeed {
  let filters: Filters | null = null;
  let tasks = new Map<string, TaskRow>();
  let state = NOTHING;
  let attempts = 0;
  // Whether `tasks` is all that matches, and not just the first of it.
  let isWhole = false;
  let frame = 0;
  let retryTimer = 0;
  let countTimer = 0;
  let countedAt = Number.NEGATIVE_INFINITY;
  let disconnect = () => {};

  addEventListener('online', retry);

  return {
    show(wanted) {
      filters = wanted;
      tasks = new Map();
      isWhole = false;
      clearTimeout(countTimer);
      countTimer = 0;
      attempts = 0;
      countedAt = Number.NEGATIVE_INFINITY;
      set({ ...NOTHING, announcement: state.announcement });
      connect(wanted);
    },
    retry,
    close() {
      filters = null;
      removeEventListener('online', retry);
      cancelAnimationFrame(frame);
      clearTimeout(countTimer);
      stop();
    },
  };

  function retry() {
    if (filters === null || state.phase === 'live') return;
    attempts = 0;
    connect(filters);
  }

  function stop() {
    clearTimeout(retryTimer);
    disconnect();
  }

  function connect(wanted: Filters) {
    stop();
    const skewMs = client.now() - Date.now();
    const filter = toTaskStatusFilter(wanted, client.now());
    const { isNewestOnly } = state;
    // The ids that this connection has sent. What it has not sent by the end of its snapshot is
    // gone.
    const seen = new Set<string>();
    let isComplete = false;
    let isCurrent = true;
    const end = client.subscribe<{ taskStatusChanged: TaskChange }>(
      TASK_CHANGES,
      { filter, snapshot: !isNewestOnly },
      {
        next: ({ taskStatusChanged: { kind, taskStatus } }) => {
          if (kind === 'SNAPSHOT_COMPLETE') complete();
          if (taskStatus === null) return;
          seen.add(taskStatus.id);
          tasks.set(taskStatus.id, { ...taskStatus, receivedAt: performance.now() });
          if (kind === 'COMPLETED') announce(taskStatus);
          if (isComplete && kind !== 'UPDATED') countSoon(wanted);
          touch();
        },
        end: error => {
          if (error === null && isPast(wanted, client.now()))
            return set({ phase: 'finished', message: null });
          // Filters that the gateway refuses are refused before the first task.
          if (error?.code === 'BAD_USER_INPUT' && seen.size > 0 && !isNewestOnly) {
            set({ isNewestOnly: true });
            return connect(wanted);
          }
          lose(wanted, error ?? new OperationError('The gateway ended the stream.', null));
        },
      },
    );
    disconnect = () => {
      isCurrent = false;
      end();
    };
    if (isNewestOnly) void readAll();
    // A screenful is here before a snapshot of thousands. After a reconnection there is one
    // already.
    else if (tasks.size === 0) void readFirst();

    async function readFirst() {
      try {
        for await (const page of readNewest(client, filter, SCREENFUL)) {
          if (!isCurrent) return;
          const isSkewed = Math.abs(client.now() - Date.now() - skewMs) > MAX_SKEW_MS;
          if (isSkewed && isRelative(wanted)) return connect(wanted);
          if (!isComplete) add(page);
        }
      } catch {
        // The subscription fails for the same reason, and says so.
      }
    }

    async function readAll() {
      try {
        for await (const page of readNewest(client, filter, MAX_TASKS)) {
          if (!isCurrent) return;
          add(page);
          for (const { id } of page) seen.add(id);
        }
        if (isCurrent) complete();
      } catch (error) {
        if (!(error instanceof OperationError)) throw error;
        if (!isCurrent) return;
        stop();
        lose(wanted, error);
      }
    }

    /** Adds tasks, except those of which the subscription has sent a later state. */
    function add(page: readonly TaskRow[]) {
      for (const task of page)
        if (!seen.has(task.id)) tasks.set(task.id, { ...task, receivedAt: performance.now() });
      touch();
    }

    function complete() {
      for (const id of tasks.keys()) if (!seen.has(id)) tasks.delete(id);
      isComplete = true;
      isWhole = !isNewestOnly;
      attempts = 0;
      set({ phase: 'live', message: null });
      countSoon(wanted);
    }
  }

  function lose(wanted: Filters, error: OperationError) {
    const liveUntil = state.phase === 'live' ? client.now() : state.liveUntil;
    if (error.code === 'UNAUTHENTICATED')
      return set({ phase: 'unauthenticated', message: error.message, liveUntil });
    if (!error.isTemporary) return set({ phase: 'refused', message: error.message, liveUntil });
    set({ phase: 'stale', message: error.message, liveUntil });
    const delay = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempts);
    attempts += 1;
    // Spread, because all boards lose a gateway that restarts at the same moment.
    retryTimer = setTimeout(() => connect(wanted), delay * (0.5 + Math.random() / 2));
    return undefined;
  }

  function countSoon(wanted: Filters) {
    if (countTimer !== 0 || (wanted.status === '' && isWhole)) return;
    const delay = Math.max(0, countedAt + COUNT_INTERVAL_MS - performance.now());
    countTimer = setTimeout(() => {
      countTimer = 0;
      countedAt = performance.now();
      void count(wanted);
    }, delay);
  }

  async function count(wanted: Filters) {
    try {
      // The tiles choose a status, so they count whatever the status.
      const filter = toTaskStatusFilter({ ...wanted, status: '' }, client.now());
      const { taskStatusCounts: counts } = await client.query<{ taskStatusCounts: TaskCounts }>(
        TASK_COUNTS,
        { filter },
      );
      if (wanted === filters) set({ counts });
    } catch {
      // The tiles keep their last numbers; the phase of the list tells about the connection.
    }
  }

  function announce(task: TaskRow) {
    set({ announcement: `${task.uniqueName} ended: ${statusOf(task).toLowerCase()}` });
  }

  function set(change: Partial<FeedState>) {
    state = { ...state, ...change };
    touch();
  }

  function touch() {
    if (frame !== 0) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      state = { ...state, tasks: [...tasks.values()] };
      // All that the tiles count is here, so counting it costs upstream nothing.
      if (isWhole && filters?.status === '') state.counts = countsOf(state.tasks);
      onChange(state);
    });
  }
}

function isPast({ period, to }: Filters, nowMs: number): boolean {
  return period === 'range' && to !== '' && Date.parse(to) <= nowMs;
}

const isRelative = ({ period }: Filters) => period !== 'range' && period !== 'all';
