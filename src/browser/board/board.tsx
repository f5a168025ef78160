import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { DetailPane } from './detail-pane.tsx';
import { FilterBar } from './filter-bar.tsx';
import { type Filters, type View, readView, toSearch } from './filters.ts';
import type { GatewayClient } from './gateway-client.ts';
import { sortTasks } from './sorted-tasks.ts';
import { NOTHING, type TaskFeed, createTaskFeed } from './task-feed.ts';
import { emptyTextOf } from './empty-list.ts';
import { type TaskRow, countOf } from './task.ts';
import { FeedNotice } from './feed-notice.tsx';
import { TaskList } from './task-list.tsx';
import { Tiles } from './tiles.tsx';
import { TokenPrompt } from './token-prompt.tsx';

/** The whole page. */
export function Board({ client }: { client: GatewayClient }) {
  const [view, setView] = useState(() => readView(location.search));
  const [state, setState] = useState(NOTHING);
  const feed = useRef<TaskFeed | null>(null);
  const filterKey = JSON.stringify(view.filters);

  useEffect(() => {
    const created = createTaskFeed(client, setState);
    feed.current = created;
    return () => created.close();
  }, [client]);
  useEffect(() => feed.current?.show(view.filters), [client, filterKey]);
  useEffect(() => {
    const follow = () => setView(readView(location.search));
    addEventListener('popstate', follow);
    return () => removeEventListener('popstate', follow);
  }, []);

  const tasks = useMemo(() => sortTasks(state.tasks, view.sort), [state.tasks, view.sort]);
  const sources = useSources(state.tasks);
  const launchers = useMemo(
    () => new Set(state.tasks.flatMap(({ launcher }) => launcher ?? [])),
    [state.tasks],
  );

  function change(part: Partial<View>) {
    // Read from the URL, because rows that are not drawn again keep the function of an earlier
    // view.
    const next = { ...readView(location.search), ...part };
    history.pushState(null, '', `${location.pathname}${toSearch(next)}`);
    setView(next);
  }

  const hasDetail = view.task !== null && state.phase !== 'unauthenticated';
  const setFilters = (filters: Filters) => change({ filters });

  function closeDetail() {
    change({ task: null });
    // Back to the row that opened it.
    document.querySelector<HTMLElement>('.viewport [tabindex="0"]')?.focus();
  }

  return (
    <>
      <header class="top">
        <h1>Tasks</h1>
        <FeedNotice state={state} onRetry={() => feed.current?.retry()} />
      </header>
      <main class={hasDetail ? 'with-detail' : ''}>
        <div class="overview">
          {state.phase === 'unauthenticated' && (
            <TokenPrompt
              reason={state.message}
              onToken={token => {
                client.useToken(token);
                feed.current?.retry();
              }}
            />
          )}
          <Tiles
            counts={state.counts}
            status={view.filters.status}
            onChoose={status => setFilters({ ...view.filters, status })}
          />
          <FilterBar
            filters={view.filters}
            sources={sources}
            launchers={launchers}
            onChange={setFilters}
          />
          <TaskList
            tasks={tasks}
            sort={view.sort}
            opened={view.task}
            isNewestOnly={state.isNewestOnly}
            matching={countOf(state.counts, view.filters.status)}
            emptyText={emptyTextOf(state.phase, view.filters)}
            onSort={sort => change({ sort })}
            onOpen={task => change({ task })}
          />
        </div>
        {hasDetail && view.task !== null && (
          <DetailPane key={view.task} client={client} id={view.task} onClose={closeDetail} />
        )}
      </main>
      <p class="visually-hidden" role="status">
        {state.announcement}
      </p>
    </>
  );
}

/** The sources that were seen so far, so that the choice stays while one of them is chosen. */
function useSources(tasks: readonly TaskRow[]): ReadonlyMap<string, string> {
  const seen = useRef(new Map<string, string>());
  return useMemo(() => {
    for (const { target } of tasks)
      if (target?.type === 'APPLICATION' && target.id !== null)
        seen.current.set(target.id, target.name ?? target.id);
    return new Map([...seen.current].sort(([, a], [, b]) => a.localeCompare(b)));
  }, [tasks]);
}
