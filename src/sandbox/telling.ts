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
  const endsAt = Math.min(completedAt, statusAt);
  const runMs = endsAt - launchedAt;
  const share = Number.isFinite(runMs) && runMs > 0 ? (now - launchedAt) / runMs : 0;
  const done = now >= endsAt ? 1 : Math.max(0, Math.floor(share * steps) / steps);
  const reportedAt = done > 0 && done < 1 ? launchedAt + done * runMs : null;
  const ended = latest(...[completedAt, statusAt].filter(at => now >= at));
  return {
    launchedAt: now >= launchedAt ? launchedAt : null,
    completedAt: correction?.completedAt ?? (now >= completedAt ? completedAt : null),
    status: correction?.completionStatus ?? (now >= statusAt ? statusOf(story) : null),
    modifiedAt: latest(ended ?? reportedAt, correction?.modifiedAt),
    done,
  };
}

/** A task as the REST API words it. */
export function tell(story: Story, standing: Standing): Record<string, unknown> {
  const { kind, totals, dateStyle } = story;
  const { done, status } = standing;
  const ended = standing.completedAt !== null || done === 1;
  const style = isLoadAccounts(story) ? 'epoch' : dateStyle;
  const date = (at: number | null) => (at === null ? null : formatDate(at, style));
  return {
    id: story.id,
    type: story.type,
    [isLoadAccounts(story) ? 'name' : 'uniqueName']: kind.uniqueName,
    description: kind.description,
    parentName: null,
    launcher: story.launcher,
    target: story.target,
    created: date(story.createdAt),
    modified: date(standing.modifiedAt),
    launched: date(standing.launchedAt),
    completed: date(standing.completedAt),
    completionStatus: status ?? (ended && story.blankStatus ? '' : null),
    messages: messagesOf(story, done),
    returns: kind.counters.map(name => ({
      [isLoadAccounts(story) ? 'displayLabel' : 'name']: `TASK_OUT_${name.toUpperCase()}`,
      attributeName: name,
    })),
    attributes: { ...startAttributesOf(story), ...countersOf(totals, done) },
    progress: ended ? null : progressOf(story, standing),
    percentComplete: percentFormOf(story, percentOf(story, standing)),
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

function messagesOf(story: Story, done: number): unknown[] {
  const { message } = story;
  if (message === null || done < 0.5) return [];
  if (isLoadAccounts(story)) {
    const { type, key } = message;
    return [{ key, localizedText: key, error: type === 'ERROR', warning: type === 'WARN' }];
  }
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
  if (completedAt !== null || done === 1) return story.keepsZeroPercent ? 0 : 100;
  return story.reportsPercent ? Math.min(99, Math.floor(done * 100)) : 0;
}

function percentFormOf({ percentForm }: Story, percent: number): number | string | null {
  if (percentForm === 'null') return null;
  return percentForm === 'text' ? String(percent) : percent;
}

function isLoadAccounts({ wording }: Story): boolean {
  return wording === 'load-accounts';
}

function statusOf(story: Story): string {
  const { status, statusCase } = story;
  if (isLoadAccounts(story) && status === 'TEMPERROR') return 'TEMP_ERROR';
  if (statusCase === 'upper') return status;
  return status === 'TEMPERROR'
    ? 'TempError'
    : `${status.charAt(0)}${status.slice(1).toLowerCase()}`;
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
