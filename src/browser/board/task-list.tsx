import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Sort, SortKey } from './filters.ts';
import { formatNumber } from './format.ts';
import { useNow } from './now.ts';
import type { TaskRow } from './task.ts';
import { TaskListRow } from './task-list-row.tsx';

interface TaskListProps {
  /** In their order. */
  tasks: readonly TaskRow[];
  sort: Sort;
  /** The id of the task in the detail pane. */
  opened: string | null;
  /** Whether more tasks may match than the list shows. */
  isNewestOnly: boolean;
  /** How many tasks match; null if that is not known. */
  matching: number | null;
  /** What stands in place of an empty list. */
  emptyText: string;
  onSort(sort: Sort): void;
  onOpen(id: string): void;
}

const COLUMNS: readonly { key: SortKey; label: string }[] = [
  { key: 'name', label: 'Task' },
  { key: 'target', label: 'Target' },
  { key: 'status', label: 'Status' },
  { key: 'progress', label: 'Progress' },
  { key: 'elapsed', label: 'Elapsed' },
  { key: 'launcher', label: 'Launcher' },
  { key: 'created', label: 'Created' },
];
const WIDE = matchMedia('(min-width: 60rem)');
// Rows of a list that is not laid out in columns have two lines. The style sheet has the same
// heights.
const WIDE_ROW_PX = 44;
const NARROW_ROW_PX = 76;
// Rows beyond the edges, so that a fast scroll shows no gap.
const OVERSCAN = 12;
// The rows are exchanged in steps, so that most frames of a scroll exchange none.
const STEP = 8;

/** A grid of which only the rows in sight are in the document. */
export function TaskList(props: TaskListProps) {
  const { tasks, sort, opened, isNewestOnly, matching, emptyText, onSort, onOpen } = props;
  const count = formatNumber(tasks.length);
  const viewport = useRef<HTMLDivElement>(null);
  // The first row in sight, rounded down to a step.
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(innerHeight);
  const [isWide, setWide] = useState(WIDE.matches);
  // The row that Tab reaches, by its id, so that it stays the same task when the order changes.
  const [activeId, setActiveId] = useState<string | null>(null);
  const shouldFocus = useRef(false);
  const nowMs = useNow();
  const rowPx = isWide ? WIDE_ROW_PX : NARROW_ROW_PX;
  const found = tasks.findIndex(({ id }) => id === activeId);
  const active = Math.max(0, found);

  useEffect(() => {
    const update = () => setWide(WIDE.matches);
    WIDE.addEventListener('change', update);
    return () => WIDE.removeEventListener('change', update);
  }, []);
  useLayoutEffect(() => {
    const element = viewport.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (!shouldFocus.current) return;
    const row = viewport.current?.querySelector<HTMLElement>('[tabindex="0"]');
    if (!row) return;
    shouldFocus.current = false;
    row.focus({ preventScroll: true });
  });

  const first = Math.max(0, top - OVERSCAN);
  const last = Math.min(tasks.length, top + STEP + Math.ceil(height / rowPx) + OVERSCAN);
  const shown = tasks.slice(first, last).map((task, place) => ({ task, index: first + place }));
  // The active row keeps the focus when it is scrolled out of sight.
  const activeTask = tasks[active];
  if (activeTask !== undefined && (active < first || active >= last))
    shown.push({ task: activeTask, index: active });

  function follow({ scrollTop }: HTMLElement) {
    setTop(Math.floor(scrollTop / rowPx / STEP) * STEP);
  }

  function move(index: number) {
    const target = Math.min(tasks.length - 1, Math.max(0, index));
    const task = tasks[target];
    const element = viewport.current;
    if (task === undefined || element === null) return;
    setActiveId(task.id);
    shouldFocus.current = true;
    const start = target * rowPx;
    const end = start + rowPx;
    if (start < element.scrollTop) element.scrollTop = start;
    else if (end > element.scrollTop + element.clientHeight)
      element.scrollTop = end - element.clientHeight;
    follow(element);
  }

  function onKeyDown(event: KeyboardEvent) {
    const page = Math.max(1, Math.floor(height / rowPx) - 1);
    const steps: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + page,
      PageUp: active - page,
      Home: 0,
      End: tasks.length - 1,
    };
    const target = steps[event.key];
    if (target !== undefined) move(target);
    else if ((event.key === 'Enter' || event.key === ' ') && activeTask) onOpen(activeTask.id);
    else return;
    event.preventDefault();
  }

  return (
    <section class="list" aria-label="Tasks">
      <div
        role="grid"
        class="grid"
        aria-label="Tasks"
        aria-rowcount={tasks.length + 1}
        aria-colcount={COLUMNS.length}
      >
        <div role="rowgroup" class="head">
          <div role="row" class="columns" aria-rowindex={1}>
            {COLUMNS.map(({ key, label }) => (
              <div
                key={key}
                role="columnheader"
                class={`cell ${key}`}
                aria-sort={
                  sort.by === key ? (sort.isDescending ? 'descending' : 'ascending') : 'none'
                }
              >
                <button
                  type="button"
                  onClick={() =>
                    onSort({ by: key, isDescending: sort.by === key && !sort.isDescending })
                  }
                >
                  {label}
                  <span aria-hidden="true" class="arrow">
                    {sort.by === key ? (sort.isDescending ? ' ↓' : ' ↑') : ''}
                  </span>
                </button>
              </div>
            ))}
          </div>
        </div>
        <div
          role="rowgroup"
          class="viewport"
          ref={viewport}
          onScroll={event => follow(event.currentTarget)}
          onKeyDown={onKeyDown}
        >
          <div role="presentation" class="space" style={{ height: `${tasks.length * rowPx}px` }}>
            {shown.map(({ task, index }) => (
              <TaskListRow
                key={task.id}
                task={task}
                index={index}
                top={index * rowPx}
                isActive={index === active}
                isOpened={task.id === opened}
                nowMs={task.state === 'RUNNING' ? nowMs : 0}
                onOpen={id => {
                  setActiveId(id);
                  onOpen(id);
                }}
              />
            ))}
          </div>
        </div>
      </div>
      {tasks.length === 0 && <p class="notice">{emptyText}</p>}
      <p class="sum" hidden={tasks.length === 0}>
        {isNewestOnly
          ? `The newest ${count}${matching !== null && matching > tasks.length ? ` of ${formatNumber(matching)}` : ''} tasks shown. For others, choose a status, a source or a range of time above.`
          : `${count} ${tasks.length === 1 ? 'task' : 'tasks'} shown`}
      </p>
    </section>
  );
}
