import type { DateStyle, Lifecycle } from './lifecycle.ts';

/** Values that a PATCH wrote into a task's record. */
export interface Correction {
  completionStatus?: string;
  completedAt?: number;
  modifiedAt: number;
}

/** The state of a task at one moment. */
export interface TaskState {
  launchedAt: number | null;
  completedAt: number | null;
  status: string | null;
  modifiedAt: number | null;
  /** The share of the run that is done, 0–1, in the steps in which the task reports. */
  done: number;
}

/** Derives the state of a task at `now`. */
export function stateAt(
  lifecycle: Lifecycle,
  now: number,
  correction: Correction | undefined,
): TaskState {
  const { launchedAt, completedAt, statusAt, steps } = lifecycle;
  const endsAt = Math.min(completedAt, statusAt);
  const runMs = endsAt - launchedAt;
  const share = Number.isFinite(runMs) && runMs > 0 ? (now - launchedAt) / runMs : 0;
  const done = now >= endsAt ? 1 : Math.max(0, Math.floor(share * steps) / steps);
  const reportedAt = done > 0 && done < 1 ? launchedAt + done * runMs : null;
  const ended = latest(...[completedAt, statusAt].filter(at => now >= at));
  return {
    launchedAt: now >= launchedAt ? launchedAt : null,
    completedAt: correction?.completedAt ?? (now >= completedAt ? completedAt : null),
    status: correction?.completionStatus ?? (now >= statusAt ? statusOf(lifecycle) : null),
    modifiedAt: latest(ended ?? reportedAt, correction?.modifiedAt),
    done,
  };
}

/** The task as JSON of the REST API. */
export function serializeTask(lifecycle: Lifecycle, state: TaskState): Record<string, unknown> {
  const { kind, totals, dateStyle } = lifecycle;
  const { done, status } = state;
  const ended = state.completedAt !== null || done === 1;
  const style = isLoadAccounts(lifecycle) ? 'epoch' : dateStyle;
  const date = (at: number | null) => (at === null ? null : formatDate(at, style));
  return {
    id: lifecycle.id,
    type: lifecycle.type,
    [isLoadAccounts(lifecycle) ? 'name' : 'uniqueName']: kind.uniqueName,
    description: kind.description,
    parentName: null,
    launcher: lifecycle.launcher,
    target: lifecycle.target,
    created: date(lifecycle.createdAt),
    modified: date(state.modifiedAt),
    launched: date(state.launchedAt),
    completed: date(state.completedAt),
    completionStatus: status ?? (ended && lifecycle.blankStatus ? '' : null),
    messages: messagesOf(lifecycle, done),
    returns: kind.counters.map(name => ({
      [isLoadAccounts(lifecycle) ? 'displayLabel' : 'name']: `TASK_OUT_${name.toUpperCase()}`,
      attributeName: name,
    })),
    attributes: { ...startAttributesOf(lifecycle), ...countersOf(totals, done) },
    progress: ended ? null : progressOf(lifecycle, state),
    percentComplete: percentFormOf(lifecycle, percentOf(lifecycle, state)),
    ...(lifecycle.hasDefinition ? { taskDefinitionSummary: definitionOf(lifecycle) } : {}),
  };
}

function startAttributesOf({ target, createdAt }: Lifecycle): Record<string, unknown> {
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

function messagesOf(lifecycle: Lifecycle, done: number): unknown[] {
  const { message } = lifecycle;
  if (message === null || done < 0.5) return [];
  if (isLoadAccounts(lifecycle)) {
    const { type, key } = message;
    return [{ key, localizedText: key, error: type === 'ERROR', warning: type === 'WARN' }];
  }
  const localizedText = message.localized ? { locale: 'en-US', message: message.key } : null;
  return [{ type: message.type, key: message.key, localizedText, parameters: [] }];
}

function progressOf({ kind }: Lifecycle, { launchedAt, done }: TaskState): string | null {
  if (launchedAt === null) return null;
  return (
    kind.phases[Math.min(Math.floor(done * kind.phases.length), kind.phases.length - 1)] ?? null
  );
}

function percentOf(lifecycle: Lifecycle, { done, completedAt }: TaskState): number {
  if (completedAt !== null || done === 1) return lifecycle.keepsZeroPercent ? 0 : 100;
  return lifecycle.reportsPercent ? Math.min(99, Math.floor(done * 100)) : 0;
}

function percentFormOf({ percentForm }: Lifecycle, percent: number): number | string | null {
  if (percentForm === 'null') return null;
  return percentForm === 'text' ? String(percent) : percent;
}

function isLoadAccounts({ wording }: Lifecycle): boolean {
  return wording === 'load-accounts';
}

function statusOf(lifecycle: Lifecycle): string {
  const { status, statusCase } = lifecycle;
  if (isLoadAccounts(lifecycle) && status === 'TEMPERROR') return 'TEMP_ERROR';
  if (statusCase === 'upper') return status;
  return status === 'TEMPERROR'
    ? 'TempError'
    : `${status.charAt(0)}${status.slice(1).toLowerCase()}`;
}

function definitionOf({ kind }: Lifecycle): Record<string, unknown> {
  return {
    id: `2c918084${kind.serviceMethod.length.toString(16).padStart(24, '0')}`,
    uniqueName: kind.uniqueName,
    description: kind.description,
    parentName: kind.uniqueName,
    executor: 'sailpoint.task.ServiceTaskExecutor',
    arguments: { serviceMethod: kind.serviceMethod },
  };
}

/** The moment in a date format that upstream was seen to use. */
export function formatDate(at: number, style: DateStyle): string | number {
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
