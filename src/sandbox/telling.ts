import type { DateStyle, Story } from './story.ts';

/** What somebody wrote over a task's record with a PATCH. */
export interface Correction {
  completionStatus?: string;
  completedAt?: number;
  modifiedAt: number;
}

/** Where a task stands in its story. */
export interface Standing {
  launchedAt: number | null;
  completedAt: number | null;
  status: string | null;
  modifiedAt: number | null;
  /** 0–1 of the run, in the steps in which the task reports. */
  done: number;
}

/** Where the story has got to at `now`. */
export function standingOf(
  story: Story,
  now: number,
  correction: Correction | undefined,
): Standing {
  const { launchedAt, completedAt, statusAt, steps } = story;
  const runMs = completedAt - launchedAt;
  const share = Number.isFinite(runMs) && runMs > 0 ? (now - launchedAt) / runMs : 0;
  const done = now >= completedAt ? 1 : Math.max(0, Math.floor(share * steps) / steps);
  const reportedAt = done > 0 && done < 1 ? launchedAt + done * runMs : null;
  const ended = [statusAt, completedAt].find(at => now >= at) ?? null;
  return {
    launchedAt: now >= launchedAt ? launchedAt : null,
    completedAt: correction?.completedAt ?? (now >= completedAt ? completedAt : null),
    status: correction?.completionStatus ?? (now >= statusAt ? story.status : null),
    modifiedAt: latest(ended ?? reportedAt, correction?.modifiedAt),
    done,
  };
}

/** A task as the REST API words it. */
export function tell(story: Story, standing: Standing): Record<string, unknown> {
  const { kind, totals, dateStyle } = story;
  const { done, status } = standing;
  const ended = standing.completedAt !== null;
  const date = (at: number | null) => (at === null ? null : formatDate(at, dateStyle));
  return {
    id: story.id,
    type: story.type,
    uniqueName: kind.uniqueName,
    description: kind.description,
    parentName: null,
    launcher: story.launcher,
    target: story.target,
    created: date(story.createdAt),
    modified: date(standing.modifiedAt),
    launched: date(standing.launchedAt),
    completed: date(standing.completedAt),
    completionStatus: status,
    messages: messagesOf(story, done),
    returns: kind.counters.map(name => ({
      name: `TASK_OUT_${name.toUpperCase()}`,
      attributeName: name,
    })),
    attributes: { ...startAttributesOf(story), ...countersOf(totals, done) },
    progress: ended ? null : progressOf(story, standing),
    percentComplete: percentOf(story, standing),
    ...(story.hasDefinition ? { taskDefinitionSummary: definitionOf(story) } : {}),
  };
}

function startAttributesOf({ target, createdAt }: Story): Record<string, unknown> {
  if (target === null) return {};
  return {
    appId: target.id,
    eventId: Math.floor(createdAt % 1_000_000),
    optimizedAggregation: 'enabled',
  };
}

function countersOf(totals: Record<string, number>, done: number): Record<string, string> {
  if (done === 0) return {};
  return Object.fromEntries(
    Object.entries(totals).map(([name, total]) => [name, String(Math.floor(total * done))]),
  );
}

function messagesOf({ message }: Story, done: number): unknown[] {
  if (message === null || done < 0.5) return [];
  const localizedText = message.localized ? { locale: 'en-US', message: message.key } : null;
  return [{ type: message.type, key: message.key, localizedText, parameters: [] }];
}

function progressOf({ kind }: Story, { launchedAt, done }: Standing): string | null {
  if (launchedAt === null) return null;
  return (
    kind.phases[Math.min(Math.floor(done * kind.phases.length), kind.phases.length - 1)] ?? null
  );
}

function percentOf(story: Story, { done, completedAt }: Standing): number {
  if (completedAt !== null) return story.keepsZeroPercent ? 0 : 100;
  return story.reportsPercent ? Math.min(99, Math.floor(done * 100)) : 0;
}

function definitionOf({ kind }: Story): Record<string, unknown> {
  return {
    id: `2c918084${kind.serviceMethod.length.toString(16).padStart(24, '0')}`,
    uniqueName: kind.uniqueName,
    description: kind.description,
    parentName: kind.uniqueName,
    executor: 'sailpoint.task.ServiceTaskExecutor',
    arguments: { serviceMethod: kind.serviceMethod },
  };
}

function formatDate(at: number, style: DateStyle): string | number {
  const iso = new Date(at).toISOString();
  switch (style) {
    case 'z':
      return iso;
    case 'offset':
      return iso.replace('Z', '+00:00');
    case 'basic-offset':
      return iso.replace('Z', '+0000');
    case 'space':
      return iso.replace('T', ' ').replace('Z', '000+00:00');
    case 'epoch':
      return Math.floor(at);
  }
}

function latest(...moments: (number | null | undefined)[]): number | null {
  const known = moments.filter(at => at !== null && at !== undefined);
  return known.length > 0 ? Math.max(...known) : null;
}
