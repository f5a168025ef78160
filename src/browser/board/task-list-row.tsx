import { memo } from 'preact/compat';
import { formatInstant, formatSeconds } from './format.ts';
import { StatusMark } from './status-mark.tsx';
import { type TaskRow, elapsedOf } from './task.ts';

interface TaskListRowProps {
  task: TaskRow;
  /** Its place in the whole list, from 0. */
  index: number;
  /** Pixels from the top of the list. */
  top: number;
  isActive: boolean;
  isOpened: boolean;
  /**
   * For the elapsed time of a running task; 0 for others, whose rows need not be drawn each second.
   */
  nowMs: number;
  onOpen(id: string): void;
}

/** Text of upstream is cut here, because a style sheet lays out even what it hides. */
const MAX_TEXT = 200;
const cut = (text: string) => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text);

export const TaskListRow = memo(
  ({ task, index, top, isActive, isOpened, nowMs, onOpen }: TaskListRowProps) => {
    const elapsed = elapsedOf(task, nowMs);
    const percent = task.effectivePercentComplete;
    return (
      <div
        role="row"
        class="row columns"
        data-state={task.state}
        aria-rowindex={index + 2}
        aria-selected={isOpened}
        tabIndex={isActive ? 0 : -1}
        style={{ transform: `translateY(${top}px)` }}
        onClick={() => onOpen(task.id)}
      >
        <div role="gridcell" class="cell name">
          <bdi>{cut(task.uniqueName)}</bdi>
        </div>
        <div role="gridcell" class="cell target">
          <bdi>{cut(task.target?.name ?? '')}</bdi>
        </div>
        <div role="gridcell" class="cell status-cell">
          <StatusMark task={task} />
        </div>
        <div role="gridcell" class="cell progress">
          <progress max={100} value={percent} aria-label="Progress" />
          <span class="percent">{percent}%</span>
        </div>
        <div role="gridcell" class="cell elapsed">
          {elapsed === null ? '' : formatSeconds(elapsed)}
          {task.estimatedCompletion !== null && task.state === 'RUNNING' && (
            <span class="estimate"> until ≈ {formatInstant(task.estimatedCompletion)}</span>
          )}
        </div>
        <div role="gridcell" class="cell launcher">
          <bdi>{cut(task.launcher ?? '')}</bdi>
        </div>
        <div role="gridcell" class="cell created">
          <time dateTime={task.created}>{formatInstant(task.created)}</time>
        </div>
      </div>
    );
  },
  (before, after) =>
    before.task === after.task &&
    before.index === after.index &&
    before.top === after.top &&
    before.isActive === after.isActive &&
    before.isOpened === after.isOpened &&
    before.nowMs === after.nowMs,
);
