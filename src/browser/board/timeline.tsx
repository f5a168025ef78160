import { formatInstant, formatSeconds } from './format.ts';
import { type TaskDetail, statusOf } from './task.ts';
import type { Observation } from './task-history.ts';

interface Moment {
  at: number;
  text: string;
}

/** What happened to a task, in order, with the time between. */
export function Timeline({
  task,
  observations,
}: {
  task: TaskDetail;
  observations: readonly Observation[];
}) {
  const moments = momentsOf(task, observations);
  return (
    <ol class="timeline">
      {moments.map(({ at, text }, place) => {
        const before = moments[place - 1];
        return (
          <li key={`${at} ${text}`}>
            <time dateTime={new Date(at).toISOString()}>{formatInstant(at)}</time> <bdi>{text}</bdi>
            {before !== undefined && at - before.at >= 1_000 && (
              <span class="gap"> after {formatSeconds((at - before.at) / 1_000)}</span>
            )}
          </li>
        );
      })}
    </ol>
  );
}

function momentsOf(task: TaskDetail, observations: readonly Observation[]): Moment[] {
  const { created, launched, completed, estimatedCompletion } = task;
  const moments: Moment[] = [{ at: Date.parse(created), text: 'Created' }];
  if (launched !== null) moments.push({ at: Date.parse(launched), text: 'Launched' });
  // The clocks of the gateway and of upstream may differ.
  const earliest = moments.at(-1)?.at ?? 0;
  for (const { at, percent, progress } of observations)
    moments.push({
      at: Math.max(at, earliest),
      text: `${percent}%${progress === null ? '' : `: ${progress.slice(0, 200)}`}`,
    });
  if (completed !== null) moments.push({ at: Date.parse(completed), text: endOf(task) });
  else if (estimatedCompletion !== null)
    moments.push({ at: Date.parse(estimatedCompletion), text: 'Estimated end' });
  return moments;
}

/** Upstream sets the status a moment after the end. */
function endOf(task: TaskDetail): string {
  return task.state === 'COMPLETED' ? `Ended: ${statusOf(task).toLowerCase()}` : 'Ended';
}
