import { GatewayError } from '../errors.ts';
import type { TaskOrder } from './filter.ts';
import type { Instant, Task } from './task.ts';

/** A place in an ordered list of tasks. The offset is where the task stood; the rest finds it again. */
export interface Cursor {
  order: TaskOrder;
  offset: number;
  created: Instant;
  id: string;
}

// Upstream's offset is an int32.
const MAX_OFFSET = 2 ** 31 - 1;
const LAYOUT = /^(ASC|DESC):(\d{1,10}):(-?\d{1,16}):(.+)$/s;

export function toCursor(order: TaskOrder, offset: number, { created, id }: Task): string {
  const direction = order === 'CREATED_ASC' ? 'ASC' : 'DESC';
  return Buffer.from(`${direction}:${offset}:${created}:${id}`).toString('base64url');
}

/** Throws BAD_USER_INPUT for what is no cursor, and for one of a list in the other order. */
export function readCursor(text: string, order: TaskOrder): Cursor {
  const [, direction, offset, created, id] =
    LAYOUT.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (id === undefined || Number(offset) > MAX_OFFSET)
    throw new GatewayError(
      'BAD_USER_INPUT',
      '`after` must be a cursor of a connection, as it was given.',
    );
  if (order !== `CREATED_${direction}`)
    throw new GatewayError('BAD_USER_INPUT', '`after` is a cursor of the list in the other order.');
  return { order, offset: Number(offset), created: Number(created), id };
}

/** Whether a task stands before the cursor or is the cursor's own. */
export function isBehind(cursor: Cursor, { created, id }: Task): boolean {
  if (id === cursor.id) return true;
  return cursor.order === 'CREATED_ASC' ? created < cursor.created : created > cursor.created;
}
