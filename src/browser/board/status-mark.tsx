import { toWords } from './format.ts';
import { type TaskRow, statusOf } from './task.ts';

const SIGNS: Record<string, string> = {
  PENDING: '○',
  RUNNING: '▶',
  SUCCESS: '✓',
  WARNING: '!',
  ERROR: '✕',
  TERMINATED: '■',
  TEMPERROR: '↻',
};

/** The state or outcome of a task as sign, colour and word. */
export function StatusMark({ task }: { task: TaskRow }) {
  const status = statusOf(task);
  return (
    <span class="status" data-status={status in SIGNS ? status : 'OTHER'}>
      <span class="sign" aria-hidden="true">
        {SIGNS[status] ?? '?'}
      </span>
      {status === 'TEMPERROR' ? 'Temporary error' : toWords(status)}
    </span>
  );
}
