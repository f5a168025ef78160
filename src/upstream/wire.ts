import * as z from 'zod';
import { GatewayError } from '../errors.ts';
import { COMPLETION_STATUSES, type Instant, TASK_TYPES, type Task } from '../task/task.ts';
import { readInstant } from './instant.ts';
import {
  type OnFallback,
  isObject,
  kindOf,
  readEnum,
  readList,
  readObject,
  readPercent,
  readText,
  readWord,
} from './json-fields.ts';
import { readDefinition, readMessage, readName, readReturn, readTarget } from './row-parts.ts';

/** A row that cannot be read as a task. It does not affect the other rows of its page. */
export class UnreadableTask {
  /** Null if not even the id could be read. */
  readonly id: string | null;
  readonly error: GatewayError;

  constructor(id: string | null, error: GatewayError) {
    this.id = id;
    this.error = error;
  }
}

export type Row = Task | UnreadableTask;

/**
 * Reads a task as upstream sends it. Only an unreadable `id` or `created` makes it an
 * UnreadableTask; every other field has a fallback, which is reported to `onFallback`.
 */
export function readRow(json: unknown, onFallback: OnFallback = () => {}): Row {
  if (!isObject(json)) return unreadable(null, [['the row', kindOf(json)]], onFallback);
  const id = readId(json['id']);
  const created = readInstant(json['created']);
  if (id === null || created === null) {
    const faults: Fault[] = [];
    if (id === null) faults.push(['id', foundIn(json['id'])]);
    if (created === null) faults.push(['created', foundIn(json['created'])]);
    return unreadable(id, faults, onFallback);
  }

  const text = (name: string) => readText(json[name], name, onFallback);
  const type = readWord(json['type'], 'type', onFallback);
  const status = json['completionStatus'];
  const rawStatus = status === null ? null : readWord(status, 'completionStatus', onFallback);
  const description = text('description');
  const definition = readDefinition(json['taskDefinitionSummary'], onFallback);
  return {
    id,
    type: type === null ? 'UNKNOWN' : readEnum(TASK_TYPES, type, 'type', onFallback),
    rawType: type ?? '',
    uniqueName:
      readName(json, 'uniqueName', onFallback) ?? definition?.uniqueName ?? description ?? '',
    description,
    parentName: text('parentName'),
    launcher: text('launcher'),
    target: readTarget(json['target'], onFallback),
    created,
    modified: readDate(json['modified'], 'modified', onFallback),
    launched: readDate(json['launched'], 'launched', onFallback),
    completed: readDate(json['completed'], 'completed', onFallback),
    completionStatus:
      rawStatus === null
        ? null
        : readEnum(COMPLETION_STATUSES, rawStatus, 'completionStatus', onFallback),
    rawCompletionStatus: rawStatus,
    messages: readList(json['messages'], 'messages', onFallback, item =>
      readMessage(item, onFallback),
    ),
    returns: readList(json['returns'], 'returns', onFallback, item => readReturn(item, onFallback)),
    attributes: readObject(json['attributes'], 'attributes', onFallback),
    progress: text('progress'),
    percentComplete: readPercent(json['percentComplete'], 'percentComplete', onFallback),
    percentFloor: 0,
    taskDefinitionSummary: definition,
    etag: '',
    wireBytes: 0,
  };
}

type Fault = readonly [field: string, found: string];

function unreadable(
  id: string | null,
  faults: readonly Fault[],
  onFallback: OnFallback,
): UnreadableTask {
  for (const [field, found] of faults) onFallback(field, found);
  // Do not include values, which may be personal data.
  const reasons = faults.map(([field, found]) => `${field} (${found})`).join(', ');
  const message = `Upstream sent a task that cannot be read: ${reasons}.`;
  return new UnreadableTask(id, new GatewayError('UPSTREAM_INVALID_RESPONSE', message));
}

/** Describes an invalid id or date. */
function foundIn(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? 'unreadable' : kindOf(value);
}

function readId(value: unknown): string | null {
  if (typeof value === 'string' && value.trim() !== '') return value;
  // A larger integer has lost digits and could be the id of another task.
  return Number.isSafeInteger(value) ? String(value) : null;
}

/** A date that may be absent; null if it cannot be read. */
export function readDate(value: unknown, field: string, onFallback: OnFallback): Instant | null {
  if (value === null) return null;
  const instant = readInstant(value);
  // Some services write 0 or the year 1 when there is no date.
  if (instant !== null && instant > 0) return instant;
  onFallback(field, foundIn(value));
  return null;
}

/** The answer of the token endpoint. Other members are ignored. */
export const TokenJson = z.object({
  access_token: z.string().min(1),
  expires_in: z.number().positive(),
});
