import { hash } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { TaskOrder } from './filter.ts';
import type { Instant, Task } from './task.ts';

/** A position in an ordered list: just after the task with this id. */
export interface Cursor {
  order: TaskOrder;
  /**
   * The task's offset when the cursor was made. The list may have shifted since, so the other
   * fields are used to find the position again.
   */
  offset: number;
  created: Instant;
  id: string;
  /**
   * Tags of tasks with the same `created` that came before this one. Upstream may order them
   * differently next time.
   */
  ties: readonly string[];
}

// Upstream's offset is an int32.
const MAX_OFFSET = 2 ** 31 - 1;
// Dates end there.
const MAX_INSTANT = 8.64e15;
/**
 * How many ties a cursor holds. If more tasks share one millisecond, we assume that their order
 * does not change.
 */
export const MAX_TIES = 20;
const LAYOUT = /^(ASC|DESC):(\d{1,10}):(-?\d{1,16}):((?:[\w-]{6}){0,20}):(.+)$/s;

/**
 * Encodes a cursor. `ties` are the tags of tasks with the same `created` that come before this one;
 * only the last `MAX_TIES` are kept.
 */
export function toCursor(
  order: TaskOrder,
  offset: number,
  { created, id }: Pick<Task, 'created' | 'id'>,
  ties: readonly string[] = [],
): string {
  const direction = order === 'CREATED_ASC' ? 'ASC' : 'DESC';
  const tags = ties.slice(-MAX_TIES).join('');
  return Buffer.from(`${direction}:${offset}:${created}:${tags}:${id}`).toString('base64url');
}

/**
 * Decodes a cursor. Throws BAD_USER_INPUT if the text is not a cursor, or is a cursor of a list in
 * the other order.
 */
export function readCursor(text: string, order: TaskOrder): Cursor {
  const [, direction, offset, created, tags = '', id] =
    LAYOUT.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  const isInRange = Number(offset) <= MAX_OFFSET && Math.abs(Number(created)) <= MAX_INSTANT;
  if (id === undefined || !isInRange)
    throw new GatewayError(
      'BAD_USER_INPUT',
      '`after` must be a cursor that a connection returned, unchanged.',
    );
  if (order !== `CREATED_${direction}`)
    throw new GatewayError(
      'BAD_USER_INPUT',
      '`after` is a cursor of a list in the opposite order.',
    );
  const ties = tags.match(/.{6}/g) ?? [];
  return { order, offset: Number(offset), created: Number(created), id, ties };
}

/** A six-character hash of the id, which distinguishes tasks created in the same millisecond. */
export function tagOf(id: string): string {
  return hash('sha256', id, 'base64url').slice(0, 6);
}
