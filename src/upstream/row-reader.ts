import { hash } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { type Row, UnreadableTask, readRow } from './wire.ts';
import type { OnFallback } from './json-fields.ts';
import { limitDepth, sliceArray } from './json-slices.ts';

/** Reads tasks from bodies, each distinct row once. */
export interface RowReader {
  /**
   * The first `most` rows of a list; rows beyond the requested limit are ignored. Throws
   * UPSTREAM_INVALID_RESPONSE for a body that is not a JSON array.
   */
  rows(body: Buffer, most?: number): Row[];
  /**
   * The row of a body that holds one. Throws UPSTREAM_INVALID_RESPONSE for a body that is not JSON.
   */
  row(body: Buffer): Row;
}

/** Values nested deeper are read as null, because comparing and serialising recurse. */
const MAX_DEPTH = 64;
// Parsed JSON takes many times its length in memory, so nothing longer is parsed at once.
const MAX_WHOLE_BYTES = 4 * 1_048_576;

/**
 * Polls read the same rows repeatedly, and few of them change. Each row is therefore hashed before
 * it is parsed. If its bytes are known and a watch or the memory still holds the task, the same
 * task is returned. Callers compare tasks by identity or `etag` first.
 */
export function createRowReader(onFallback?: OnFallback): RowReader {
  // Weak references keep no task alive, so the map holds only tasks that are in use.
  const tasks = new Map<string, WeakRef<Row & object>>();
  const collected = new FinalizationRegistry<string>(etag => {
    if (tasks.get(etag)?.deref() === undefined) tasks.delete(etag);
  });

  return {
    rows(body, most = Infinity) {
      const slices = sliceArray(body, most);
      if (slices !== null)
        return slices.map(({ start, end, depth }) =>
          end - start > MAX_WHOLE_BYTES ? tooLong() : read(body.subarray(start, end), depth),
        );
      if (body.length > MAX_WHOLE_BYTES) throw invalid('Upstream did not answer with a list.');
      const rows = parse(body);
      if (!Array.isArray(rows)) throw invalid('Upstream did not answer with a list.');
      return rows.slice(0, most).map(row => readRow(limitDepth(row, MAX_DEPTH), onFallback));
    },
    row: body => (body.length > MAX_WHOLE_BYTES ? tooLong() : read(body, Infinity)),
  };

  function read(bytes: Buffer, depth: number): Row {
    const etag = hash('sha256', bytes, 'base64');
    const known = tasks.get(etag)?.deref();
    if (known !== undefined) return known;
    const json = parse(bytes);
    const row = readRow(depth > MAX_DEPTH ? limitDepth(json, MAX_DEPTH) : json, onFallback);
    if (row instanceof UnreadableTask) return row;
    const task = Object.assign(row, { etag, wireBytes: bytes.length });
    tasks.set(etag, new WeakRef(task));
    collected.register(task, etag);
    return task;
  }
}

function tooLong(): UnreadableTask {
  return new UnreadableTask(null, invalid('Upstream answered with a task that is too large.'));
}

/** A body as JSON. Throws UPSTREAM_INVALID_RESPONSE if it is not JSON. */
export function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch (cause) {
    throw invalid('Upstream answered with something that is not JSON.', cause);
  }
}

function invalid(message: string, cause?: unknown): GatewayError {
  return new GatewayError('UPSTREAM_INVALID_RESPONSE', message, { cause });
}
