import { hash } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { TaskOrder } from './filter.ts';
import type { Instant, Task } from './task.ts';

/** A place in an ordered list of tasks: after the task of this id. */
export interface Cursor {
  order: TaskOrder;
  /** Where the task stood. The list may have shifted since; the rest finds the place again. */
  offset: number;
  created: Instant;
  id: string;
  /** Tags of tasks with the same `created` that stood before it: upstream may order those differently next time. */
  ties: readonly string[];
}

// Upstream's offset is an int32.
const MAX_OFFSET = 2 ** 31 - 1;
/** How many ties a cursor names. More tasks of one millisecond than this are expected to keep their order. */
export const MAX_TIES = 20;
const LAYOUT = /^(ASC|DESC):(\d{1,10}):(-?\d{1,16}):((?:[\w-]{6}){0,20}):(.+)$/s;

/** `ties` are the tags of tasks with the same `created` that stand before this one; the last few are kept. */
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

/** Throws BAD_USER_INPUT for what is no cursor, and for one of a list in the other order. */
export function readCursor(text: string, order: TaskOrder): Cursor {
  const [, direction, offset, created, tags = '', id] =
    LAYOUT.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (id === undefined || Number(offset) > MAX_OFFSET)
    throw new GatewayError(
      'BAD_USER_INPUT',
      '`after` must be a cursor of a connection, as it was given.',
    );
  if (order !== `CREATED_${direction}`)
    throw new GatewayError('BAD_USER_INPUT', '`after` is a cursor of the list in the other order.');
  const ties = tags.match(/.{6}/g) ?? [];
  return { order, offset: Number(offset), created: Number(created), id, ties };
}

/** Six characters that tell the tasks of one millisecond apart. */
export function tagOf(id: string): string {
  return hash('sha256', id, 'base64url').slice(0, 6);
}
