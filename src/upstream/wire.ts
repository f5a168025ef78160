import { z } from 'zod';
import { GatewayError } from '../errors.ts';
import {
  COMPLETION_STATUSES,
  type Instant,
  MESSAGE_TYPES,
  type Open,
  TARGET_TYPES,
  TASK_TYPES,
  type Task,
} from '../task/task.ts';

/** A task that cannot be read; it costs itself, and nothing else on its page. */
export class UnreadableTask {
  /** Null where even that could not be read. */
  readonly id: string | null;
  readonly error: GatewayError;

  constructor(id: string | null, error: GatewayError) {
    this.id = id;
    this.error = error;
  }
}

export type Row = Task | UnreadableTask;

// `YYYY-MM-DD`, T or a space, `hh:mm:ss` with any fraction, and no, a `Z`, `±hh:mm` or `±hhmm` offset.
const DATE =
  /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d+))?\s*(?:(Z)|([+-]\d{2}):?(\d{2}))?$/i;

// Dates come in whichever form the service behind upstream's gateway chose.
const DateJson = z.union([z.number(), z.string()]).transform((value, context): Instant => {
  const instant = typeof value === 'number' ? value : readDate(value);
  if (Number.isFinite(instant) && Math.abs(instant) <= 8.64e15) return instant;
  context.addIssue('is not a date');
  return z.NEVER;
});
const NullableDateJson = DateJson.nullish().transform(orNull);
const NullableText = z.string().nullish().transform(orNull);
const ObjectJson = z.looseObject({});
const FreeObjectJson = ObjectJson.nullish().transform(value => value ?? {});
const PercentJson = z.number().transform(value => Math.min(100, Math.max(0, Math.round(value))));

const TargetJson = z
  .object({ id: NullableText, type: NullableText, name: NullableText })
  .transform(({ id, type, name }) => ({
    id,
    type: type === null ? null : openEnum(TARGET_TYPES, type),
    rawType: type,
    name,
  }));

const MessageJson = z.object({
  type: z.string().transform(type => openEnum(MESSAGE_TYPES, type)),
  key: z.string(),
  localizedText: z.object({ locale: z.string(), message: z.string() }).nullish().transform(orNull),
  parameters: z.unknown().transform(value => value ?? null),
});

const TaskDefinitionJson = z.object({
  id: z.string(),
  uniqueName: z.string(),
  description: NullableText,
  parentName: NullableText,
  executor: NullableText,
  arguments: FreeObjectJson,
});

/** A task as upstream words it. A new enum value is UNKNOWN; any other fault costs this task. */
const TaskJson = z
  .object({
    id: z.string().min(1),
    type: z.string(),
    uniqueName: z.string(),
    description: NullableText,
    parentName: NullableText,
    launcher: NullableText,
    target: TargetJson.nullish().transform(orNull),
    created: DateJson,
    modified: NullableDateJson,
    launched: NullableDateJson,
    completed: NullableDateJson,
    completionStatus: NullableText,
    messages: listOf(MessageJson),
    returns: listOf(z.object({ name: z.string(), attributeName: z.string() })),
    attributes: FreeObjectJson,
    progress: NullableText,
    percentComplete: PercentJson,
    taskDefinitionSummary: TaskDefinitionJson.nullish().transform(orNull),
  })
  .transform(({ type, completionStatus, ...rest }): Task => ({
    ...rest,
    type: openEnum(TASK_TYPES, type),
    rawType: type,
    completionStatus:
      completionStatus === null ? null : openEnum(COMPLETION_STATUSES, completionStatus),
    rawCompletionStatus: completionStatus,
  }));

/** What upstream may send for a task, as far as the gateway reads it. */
export type TaskWire = z.input<typeof TaskJson>;

/** The task in a body, or what became of it. */
export function readRow(json: unknown): Row {
  const { data, error } = TaskJson.safeParse(json);
  if (data) return data;
  const id = z.object({ id: z.string().min(1) }).safeParse(json).data?.id ?? null;
  // Paths and kinds of fault only: a value may be somebody's data.
  const reasons = error.issues.map(({ path, code }) => `${path.join('.') || 'the row'} (${code})`);
  const message = `Upstream sent a task that cannot be read: ${reasons.slice(0, 5).join(', ')}.`;
  return new UnreadableTask(id, new GatewayError('UPSTREAM_INVALID_RESPONSE', message));
}

/** The rows of a list. A body that is no list at all is UPSTREAM_INVALID_RESPONSE. */
export function readRows(body: unknown): Row[] {
  if (!Array.isArray(body))
    throw new GatewayError(
      'UPSTREAM_INVALID_RESPONSE',
      'Upstream answered a list with something else.',
    );
  return body.map(readRow);
}

/** The token endpoint's answer, as far as it is used. */
export const TokenJson = z.object({
  access_token: z.string().min(1),
  expires_in: z.number().positive(),
});

function listOf<T extends z.ZodType>(row: T) {
  return z
    .array(row)
    .nullish()
    .transform(rows => rows ?? []);
}

function orNull<T>(value: T | null | undefined): T | null {
  return value ?? null;
}

// Older answers write `Success`, `TEMP_ERROR` and `Warning` where newer ones write in upper case.
function openEnum<const T extends readonly string[]>(known: T, text: string): Open<T> {
  return known.find(name => fold(name) === fold(text)) ?? 'UNKNOWN';
}

function fold(name: string): string {
  const folded = name.toUpperCase().replaceAll('_', '');
  return folded === 'WARNING' ? 'WARN' : folded;
}

function readDate(text: string): number {
  const [, day, time = '', fraction = '', zulu, hours = '+00', minutes = '00'] =
    DATE.exec(text.trim()) ?? [];
  if (day === undefined) return NaN;
  const seconds = time.length === 5 ? `${time}:00` : time;
  // ECMAScript dates have milliseconds; what is finer is dropped.
  const milliseconds = `${fraction}000`.slice(0, 3);
  return Date.parse(`${day}T${seconds}.${milliseconds}${zulu ? 'Z' : `${hours}:${minutes}`}`);
}
